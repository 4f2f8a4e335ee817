"""The attack on everything that comes from outside: damaged files, bad values of flags, pairs of flags.

The law is that of the command line: whatever comes in, a command ends with status 0 or with status 2 and one line that
says what is wrong; never with a traceback, never with an escape sequence on the terminal, within ten seconds, and a
refused command leaves nothing behind. `python -m experiments.fuzz --seconds N` attacks for any length of time.
"""
