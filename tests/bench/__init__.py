"""Benchmarks: what is measured, printed and kept, and judged by nobody."""
