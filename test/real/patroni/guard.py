"""Runs a program and ends it together with everything it started, also what it put into the background.

guard.py --log FILE [--user NAME] -- PROGRAM [ARGUMENT...]

Standard input: the line "term" sends SIGTERM to the program, "kill" sends SIGKILL to it and all its descendants. The end
of standard input, which is also the end of whoever holds the other side, is a "kill". When the program has ended, so has
every descendant; the exit code is that of the program (128 + signal).

An orphan becomes a child of the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER), which is this process: so a
postmaster in a session of its own, with its backends in theirs, is found after Patroni is gone.
"""

import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.2
END_SECONDS = 10


def become(name):
    user = pwd.getpwnam(name)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def processes():
    """(pid, parent, state) of every process."""
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % entry, encoding='utf-8', errors='replace') as file:
                state, parent = file.read().rsplit(')', 1)[1].split()[:2]
        except OSError:
            continue
        yield int(entry), int(parent), state


def descendants():
    children = {}
    for pid, parent, state in processes():
        if state != 'Z':
            children.setdefault(parent, []).append(pid)
    found, ask = [], [os.getpid()]
    while ask:
        for pid in children.get(ask.pop(), []):
            found.append(pid)
            ask.append(pid)
    return found


def reap(statuses):
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            statuses[pid] = status
    except ChildProcessError:
        pass


def kill_all(statuses):
    """Again until there are none: one that forks while it is being killed leaves a new one."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        left = descendants()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap(statuses)
        if not left:
            return
        time.sleep(0.005)


def main(args):
    split = args.index('--')
    options = dict(zip(args[:split:2], args[1:split:2]))
    os.setsid()
    if '--user' in options:
        become(options['--user'])
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')
    with open(options['--log'], 'ab') as log:
        program = subprocess.Popen(args[split + 1:], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    statuses = {}
    while program.pid not in statuses:
        if select.select([0], [], [], POLL_SECONDS)[0]:
            said = os.read(0, 100)
            if said == b'' or b'kill' in said:
                kill_all(statuses)
                break
            if b'term' in said:
                os.kill(program.pid, signal.SIGTERM)
        reap(statuses)
    kill_all(statuses)
    status = statuses.get(program.pid, signal.SIGKILL)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


main(sys.argv[1:])
