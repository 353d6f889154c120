"""Watches members of a PostgreSQL cluster and writes to whichever accepts it.

probe.py NAME=CONNECTION_STRING...

Each member has two threads with a connection each: one asks all the time whether it is a primary, one inserts rows as
long as it is. They know nothing of one another, so a second primary is written to as well. One line of JSON for each
answer, times in milliseconds of CLOCK_MONOTONIC before asking and after the answer:

  {"kind": "primary", "member", "timeline", "from", "to"}             it was a primary at some moment in between
  {"kind": "acknowledged", "member", "timeline", "id", "from", "to"}  it acknowledged this row
  {"kind": "unknown", "member", "id", "from", "to", "why"}            the row may be there or not

The table is made by the caller: rows (id text primary key, member text, timeline bigint).
The end of standard input ends it.
"""

import itertools
import json
import os
import sys
import threading
import time

import psycopg2

OBSERVE_SECONDS = 0.05
WRITE_SECONDS = 0.03
# A commit waits for the synchronous standby, for longer than that only while nobody takes its place.
SILENCE_MS = 20000
TIMELINE = """select case when not pg_is_in_recovery() then
  ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end"""
INSERT = 'insert into rows values (%s, %s, %s)'

lock = threading.Lock()


def now():
    return round(time.monotonic() * 1000, 3)


def say(kind, **fields):
    line = json.dumps(dict(fields, kind=kind)) + '\n'
    with lock:
        os.write(1, line.encode())


def connect(target):
    connection = psycopg2.connect(target, connect_timeout=2, tcp_user_timeout=SILENCE_MS)
    connection.autocommit = True
    return connection


def timeline_of(cursor):
    cursor.execute(TIMELINE)
    return cursor.fetchone()[0]


def observe(name, target):
    while True:
        try:
            connection = connect(target)
            cursor = connection.cursor()
            while True:
                start = now()
                timeline = timeline_of(cursor)
                if timeline is not None:
                    say('primary', member=name, timeline=timeline, **{'from': start, 'to': now()})
                time.sleep(OBSERVE_SECONDS)
        except psycopg2.Error:
            time.sleep(OBSERVE_SECONDS)


def insert(connection, cursor, name, timeline, row):
    start = now()
    del connection.notices[:]
    try:
        cursor.execute(INSERT, (row, name, timeline))
    except psycopg2.Error as error:
        # An error of the statement itself (read only, shutting down before the commit) would be surely without effect, but
        # nothing here depends on telling them apart.
        say('unknown', member=name, id=row, why=str(error).strip(), **{'from': start, 'to': now()})
        raise
    if connection.notices:
        # "The transaction has already committed locally, but might not have been replicated to the standby."
        say('unknown', member=name, id=row, why=connection.notices[-1].strip(), **{'from': start, 'to': now()})
        return
    say('acknowledged', member=name, timeline=timeline, id=row, **{'from': start, 'to': now()})


def write(name, target):
    numbers = itertools.count(1)
    while True:
        try:
            connection = connect(target)
            cursor = connection.cursor()
            while True:
                timeline = timeline_of(cursor)
                if timeline is not None:
                    insert(connection, cursor, name, timeline, '%s-%d' % (name, next(numbers)))
                time.sleep(WRITE_SECONDS)
        except psycopg2.Error:
            time.sleep(WRITE_SECONDS)


for argument in sys.argv[1:]:
    for task in (observe, write):
        threading.Thread(target=task, args=argument.split('=', 1), daemon=True).start()
while os.read(0, 100):
    pass
os._exit(0)
