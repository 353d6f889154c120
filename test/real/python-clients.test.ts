import type { Test } from 'tap'
import { ansibleModules, playbook } from './clients/ansible.ts'
import { type Found, findAnsible, findConsul2, findModule } from './clients/programs.ts'
import { pythonConsul } from './clients/python-consul.ts'
import { pythonServices } from './clients/python-services.ts'
import type { Roles } from './clients/roles.ts'
import { toozMembers } from './clients/tooz.ts'
import { clusterTest } from './cluster.ts'

clusterTest('clients written in Python, unchanged', { nodes: 3, timeoutMs: 110_000 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader)
  if (follower === undefined) throw new Error('there is no follower')
  const roles: Roles = { cluster, leader, follower }
  const [consul, consul2, ansible] = await Promise.all([
    findModule('consul', '0.7.1'),
    findConsul2(),
    findAnsible(),
  ])
  const tooz = 'missing' in consul2 ? consul2 : await findModule('tooz', null, consul2.env)

  // It takes the longest, most of it its own start: the others run meanwhile.
  const played = 'env' in ansible ? playbook(roles, ansible.env) : null
  for (const [agent, role] of [
    [leader, 'leader'],
    [follower, 'follower'],
  ] as const) {
    await withProgram(t, consul, `python-consul 0.7.1 through the ${role}`, (t, env) =>
      pythonConsul(t, roles, agent, { env, version: '0.7.1' }),
    )
    await withProgram(t, consul, `services with python-consul 0.7.1 through the ${role}`, (t, env) =>
      pythonServices(t, roles, agent, { env, version: '0.7.1' }),
    )
    await withProgram(t, consul2, `python-consul2 0.1.5 through the ${role}`, (t, env) =>
      pythonConsul(t, roles, agent, { env, version: '0.1.5' }),
    )
    await withProgram(t, consul2, `services with python-consul2 0.1.5 through the ${role}`, (t, env) =>
      pythonServices(t, roles, agent, { env, version: '0.1.5' }),
    )
  }
  await withProgram(t, tooz, 'tooz, one member through the leader and one through a follower', (t, env) =>
    toozMembers(t, roles, env),
  )
  await withProgram(t, ansible, "Ansible's modules, through the leader and a follower", async (t) => {
    if (played !== null) ansibleModules(t, roles, await played)
  })
})

/** A test that is skipped, with the reason, where the program is missing. */
async function withProgram(
  t: Test,
  found: Found,
  name: string,
  body: (t: Test, env: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  if ('missing' in found) await t.test(name, { skip: found.missing }, async () => {})
  else await t.test(name, (t) => body(t, found.env))
}
