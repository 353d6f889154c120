import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { runCommand } from '../command.ts'
import { PYTHON } from './programs.ts'
import { CLIENT_MS_MAX, printed, type Roles } from './roles.ts'

/** Runs two members of tooz at once, one through the leader and one through a follower. */
export async function toozMembers(
  t: Test,
  { cluster, leader, follower }: Roles,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const journal = join(cluster.folder, 'tooz-journal')
  const ports = [String(leader.ports.http), String(follower.ports.http)] as const
  const member = async (name: string, other: string, own: string, others: string) =>
    printed<{ readonly created: boolean }>(
      await runCommand(
        PYTHON,
        [join(import.meta.dirname, 'tooz-member.py'), name, other, own, others, 'tooz', journal],
        {
          env,
          timeoutMs: CLIENT_MS_MAX,
        },
      ),
    )
  const saw = await Promise.all([member('a', 'b', ports[0], ports[1]), member('b', 'a', ports[1], ports[0])])
  t.strictSame(
    saw.map(({ created }) => created),
    [saw[0].created, !saw[0].created],
    'one of them made the group',
  )
  for (const [i, [name, other]] of [
    ['a', 'b'],
    ['b', 'a'],
  ].entries()) {
    const created = saw[i]?.created
    t.strictSame(saw[i], {
      'renewed every': 10,
      created,
      'joined once only': true,
      members: ['a', 'b'],
      'group is listed': true,
      'capabilities of the other': other,
      'new capabilities': { of: name, new: true },
      acquired: true,
      'acquired twice': false,
      'acquired by a rival': false,
      'released by a rival': false,
      released: true,
      'acquired by a rival then': true,
      // The rival held it when its session ended, which delays the next one by 15 s.
      'acquired after its end': false,
      'left once only': true,
      ...(created === true ? { deleted: true, 'groups after': ['done'] } : {}),
    })
  }
  const lines = readFileSync(journal, 'utf8').trimEnd().split('\n')
  t.equal(lines.length, 8, 'each entered and left twice')
  const holders = lines.map((line) => line.split(' ')[0])
  t.strictSame(
    lines,
    holders.map((holder, i) => `${holder} ${i % 2 === 0 ? 'enters' : 'leaves'}`),
    'entering and leaving alternate',
  )
  t.strictSame(
    holders.filter((_, i) => i % 2 === 0),
    holders.filter((_, i) => i % 2 === 1),
    'nobody enters before the other has left',
  )
}
