"""One table of POSIX checks, run on a plain directory and on a mount: both must show the same.

A check is a function `check_VERB_...` that gets a Journal. It runs in a child process whose current directory is an
empty directory of its own, as root, under umask 022. It does not say what is right: it writes down what it sees,
and the plain directory, on the very filesystem that the mount serves, is the judge.
"""
