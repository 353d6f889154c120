import { join } from 'node:path'
import type { Test } from 'tap'
import { type Finished, runCommand } from '../command.ts'
import { ANSIBLE_PLAYBOOK, PYTHON } from './programs.ts'
import { printed, type Roles, UUID } from './roles.ts'

/** What the playbook's callback prints, as far as it is looked at. */
interface Played {
  readonly plays: readonly {
    readonly tasks: readonly {
      readonly task: { readonly name: string }
      readonly hosts: { readonly localhost: Readonly<Record<string, unknown>> }
    }[]
  }[]
}

/** Plays consul.yml. */
export function playbook(
  { cluster, leader, follower }: Roles,
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const variables = {
    ansible_python_interpreter: PYTHON,
    leader: leader.ports.http,
    follower: follower.ports.http,
  }
  const args = ['-i', 'localhost,', '-e', JSON.stringify(variables), join(import.meta.dirname, 'consul.yml')]
  return runCommand(ANSIBLE_PLAYBOOK, args, { env: { ...env, HOME: cluster.folder }, timeoutMs: 90_000 })
}

/** Looks at what every task of the playbook gave. */
export function ansibleModules(t: Test, { leader, follower }: Roles, finished: Finished): void {
  const tasks = printed<Played>(finished).plays[0]?.tasks ?? []
  const got = Object.fromEntries(tasks.map(({ task, hosts }) => [task.name, hosts.localhost]))
  const first = String(got['make a session']?.session_id)
  const second = String(got['make another']?.session_id)
  t.match(first, UUID)
  t.match(second, UUID)
  const written = { Key: 'ansible/k', Value: 'one', Flags: 42, LockIndex: 0 }
  t.match(got.write, { changed: true, data: written })
  t.match(got['write again'], { changed: false, data: written })
  t.strictSame(got['write again']?.index, got.write?.index, 'nothing has changed')
  t.match(got['ask for the session'], {
    sessions: [
      /^\d+$/,
      { ID: first, Name: 'first', Node: leader.name, Behavior: 'delete', TTL: '20s', LockDelay: 0 },
    ],
  })
  const listed = (got['list the sessions']?.sessions ?? []) as readonly {
    ID: string
    Name: string
    Node: string
  }[]
  t.match(
    listed.find(({ ID }) => ID === second),
    { Name: 'second', Node: follower.name },
  )
  t.ok(listed.some(({ ID }) => ID === first))
  t.match(got.lock, { changed: true, key: 'ansible/l' })
  t.match(got['lock by another'], { changed: false })
  t.match(got.unlock, { changed: true })
  t.match(got['lock by another then'], { changed: true })
  t.match(got['end the session'], { changed: true, session_id: second })
  const deleted = got.delete?.data as readonly Record<string, unknown>[]
  t.equal(got.delete?.changed, true)
  t.match(deleted, [written, { Key: 'ansible/l', Value: 'second', LockIndex: 2 }])
  t.notOk('Session' in (deleted[1] ?? {}), 'the end of the session was the end of its lock')
  t.match(got['delete again'], { changed: false, data: null })
  t.equal(Object.values(got).filter(({ failed }) => failed === true).length, 0)
  t.equal(tasks.length, 13)
}
