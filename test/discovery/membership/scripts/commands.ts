import { FlapDamper } from '../../../../discovery/membership/core/flap-damper.ts'
import type {
  MemberRecord,
  MemberState,
  SwimMessage,
  Update,
} from '../../../../discovery/membership/core/types.ts'
import { checkMeta } from '../../../../discovery/membership/wire.ts'
import type { Arguments } from '../../../consensus/scripts/arguments.ts'
import { describeMember, describeUpdate } from './format.ts'
import { entry, type ScriptWorld } from './world.ts'

/** Runs one command: takes what it needs from `args`, acts on the world, prints what happened. */
export type Command = (world: ScriptWorld, args: Arguments, print: (line: string) => void) => void

const KINDS = ['ping', 'ack', 'nack', 'ping-req', 'gossip', 'sync', 'dial']
const STATES: readonly MemberState[] = ['alive', 'suspect', 'failed', 'left']

function takeNode(world: ScriptWorld, args: Arguments): string {
  const id = args.word('the node')
  return world.nodes.has(id) ? id : args.fail(`there is no node ${id}`)
}

function kinds(list: readonly string[] | undefined, args: Arguments): readonly string[] | undefined {
  for (const kind of list ?? []) if (!KINDS.includes(kind)) args.fail(`unknown kind ${kind}`)
  return list
}

/** `1500`, `1.5s` in ms. */
function takeMs(args: Arguments): number {
  const text = args.word('the time')
  const [, digits, unit] =
    /^([\d.]+)(ms|s)$/.exec(text) ?? args.fail(`a time is like 500ms or 5s, not ${text}`)
  return Number(digits) * (unit === 's' ? 1000 : 1)
}

function takeMeta(args: Arguments): Record<string, string> {
  const pairs = args.listOption('meta') ?? []
  return Object.fromEntries(pairs.map((pair) => [pair.split(':')[0] ?? '', pair.split(':')[1] ?? '']))
}

/** `alive b 2 [name= address= meta=(k:v)]` and its like. */
function takeMember(args: Arguments): MemberRecord {
  const status = args.word('the status')
  const state = STATES.find((s) => s === status) ?? args.fail(`unknown status ${status}`)
  const id = args.word('the member')
  const incarnation = args.number('the incarnation')
  const name = args.option('name') ?? id
  return {
    id,
    name,
    address: args.option('address') ?? `${id}:1`,
    status: state,
    incarnation,
    meta: takeMeta(args),
  }
}

function takeUpdate(args: Arguments, from: string): Update {
  const { status, ...member } = takeMember(args)
  const { id, incarnation } = member
  if (status === 'alive') return { status, ...member }
  if (status === 'left') return { status, id, incarnation, ...(args.flag('prune') ? { prune: true } : {}) }
  return { status, id, incarnation, from: args.option('by') ?? from }
}

/** `nodes a b c`: cores that know and reach each other. */
const nodes: Command = (world, args) => {
  const ids: string[] = []
  while (args.more) ids.push(args.word('the node'))
  world.form(ids, [])
}

/** `node a [knows=(b,c)] [deaf=(c)] [name= incarnation=]`: one core; those it knows are phantoms, which answer pings unless deaf. */
const node: Command = (world, args) => {
  const id = args.word('the node')
  const incarnation = args.numberOption('incarnation') ?? 1
  for (const deaf of args.listOption('deaf') ?? []) world.deaf.add(deaf)
  world.form([id], args.listOption('knows') ?? [], { name: args.option('name') ?? id, incarnation })
}

/** `set suspicionMult=2`: a setting of cores made later. */
const set: Command = (world, args) => {
  const name = args.word('the setting')
  world.set({ [name]: args.number('the value') })
}

/** `tell a from=b suspect c 1 [by=x]`: a message with one piece of news. */
const tell: Command = (world, args) => {
  const to = takeNode(world, args)
  const from = args.option('from') ?? args.fail('from= is missing')
  const update = takeUpdate(args, from)
  world.act(to, (core, now) => core.message(from, { type: 'gossip', updates: [update] }, now))
}

/** `merge a from=b failed c 1 [age=]`: one member of the state of another node. */
const merge: Command = (world, args) => {
  const to = takeNode(world, args)
  const from = args.option('from') ?? args.fail('from= is missing')
  const ageMs = args.numberOption('age') ?? 0
  const told = entry(takeMember(args), ageMs)
  world.act(to, (core, now) => core.merge(from, [told], now))
}

/** `exchange a b`: everything the two know. */
const exchange: Command = (world, args) => {
  world.exchange(takeNode(world, args), takeNode(world, args))
  world.run(10)
}

/** `ask a from=b [target=c]`: b pings a, or asks it to ping c. */
const ask: Command = (world, args) => {
  const to = takeNode(world, args)
  const from = args.option('from') ?? args.fail('from= is missing')
  const target = args.option('target')
  const message: SwimMessage = target
    ? { type: 'ping-req', seq: 900, target, updates: [] }
    : { type: 'ping', seq: 901, updates: [] }
  world.act(to, (core, now) => core.message(from, message, now))
}

/** `news a`: what a tells in the next 200 ms of gossip, each piece once. */
const news: Command = (world, args, print) => {
  const id = takeNode(world, args)
  world.takeSent(id)
  world.run(200)
  const told = world.takeSent(id).flatMap(({ type, updates }) => (type === 'gossip' ? updates : []))
  const lines = [...new Set(told.map(describeUpdate))].sort()
  for (const line of lines.length > 0 ? lines : ['nothing']) print(`  ${line}`)
}

/** `see [a …]`: what nodes hold of all members; nodes of one mind share a line. */
const see: Command = (world, args, print) => {
  const ids: string[] = []
  while (args.more) ids.push(takeNode(world, args))
  const views = new Map<string, string[]>()
  for (const id of ids.length > 0
    ? ids
    : [...world.nodes].filter(([, n]) => n.state === 'running').map(([n]) => n)) {
    const members = [...world.core(id).members()].sort((x, y) => (x.id < y.id ? -1 : 1))
    const view = members.map((member) => `${member.id} ${describeMember(member)}`).join(', ')
    views.set(view, [...(views.get(view) ?? []), id])
  }
  for (const [view, viewers] of views) print(`${viewers.join(' ')}: ${view}`)
}

const health: Command = (world, args, print) => {
  const id = takeNode(world, args)
  print(`${id} distrusts itself ${world.core(id).healthScore}`)
}

/** `counts a`: what became of its probes and suspicions. */
const counts: Command = (world, args, print) => {
  const told = Object.entries(world.core(takeNode(world, args)).counts).filter(([, count]) => count > 0)
  print(told.map(([name, count]) => `${name} ${count}`).join(', '))
}

/** `lag a 600ms`: its event loop was late by so much. */
const lag: Command = (world, args) => {
  const id = takeNode(world, args)
  const ms = takeMs(args)
  world.act(id, (core, now) => core.localHealth(ms, now))
}

/** `start d via=a [name= incarnation=]`: a new process, or the same one anew, that connects to a. */
const start: Command = (world, args) => {
  const id = args.word('the node')
  const via = args.option('via')
  world.start(id, { name: args.option('name') ?? id, incarnation: args.numberOption('incarnation') ?? 1 })
  if (via !== undefined) world.connect(id, via)
}

const leave: Command = (world, args) => {
  world.act(takeNode(world, args), (core, now) => core.leave(now))
}

const forceLeave: Command = (world, args, print) => {
  const by = takeNode(world, args)
  const id = args.word('the member')
  const prune = args.flag('prune')
  world.act(by, (core, now) => {
    const { refused, actions } = core.forceLeave(id, prune, now)
    if (refused) print(`refused: ${refused}`)
    return actions
  })
}

const meta: Command = (world, args, print) => {
  const id = takeNode(world, args)
  const bytes = args.numberOption('bytes')
  const values = bytes === undefined ? takeMeta(args) : { m: 'x'.repeat(bytes - '{"m":""}'.length) }
  try {
    checkMeta(values)
  } catch (error) {
    print(`refused: ${(error as Error).message}`)
    return
  }
  if (bytes === undefined) world.act(id, (core, now) => core.setMeta(values, now))
}

const lose: Command = (world, args) => {
  world.lose({
    types: kinds(args.listOption('type'), args),
    from: args.listOption('from'),
    to: args.listOption('to'),
  })
}

/** `flap b via=a 5`: b dies and comes back five times, a second each. */
const flap: Command = (world, args) => {
  const id = takeNode(world, args)
  const via = args.option('via') ?? args.fail('via= is missing')
  const times = args.number('how often')
  for (let life = 2; life < times + 2; life++) {
    world.kill(id)
    world.run(1000)
    world.start(id, { incarnation: life })
    world.connect(id, via)
    world.run(1000)
  }
}

/** What a script can say, by name. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['nodes', nodes],
  ['node', node],
  ['set', set],
  ['tell', tell],
  ['merge', merge],
  ['exchange', exchange],
  ['ask', ask],
  ['news', news],
  ['see', see],
  ['health', health],
  ['counts', counts],
  ['lag', lag],
  ['start', start],
  ['leave', leave],
  ['force-leave', forceLeave],
  ['meta', meta],
  ['lose', lose],
  ['flap', flap],
  ['run', (world, args) => world.run(takeMs(args))],
  [
    'show',
    (world, args) => {
      world.shown = args.more ? (kinds(args.list('the kinds'), args) ?? []) : []
    },
  ],
  ['kill', (world, args) => world.kill(takeNode(world, args))],
  ['vanish', (world, args) => world.vanish(takeNode(world, args))],
  ['hang', (world, args) => world.hang(takeNode(world, args))],
  ['resume', (world, args) => world.resume(takeNode(world, args))],
  ['break', (world, args) => world.disconnect(args.word('the node'), args.word('the other'))],
  ['connect', (world, args) => world.connect(args.word('the node'), args.word('the other'))],
  ['cut', (world, args) => world.cut(args.list('one side'), args.list('the other side'))],
  ['heal', (world) => world.heal()],
  ['damp', (world, args) => void world.dampers.set(takeNode(world, args), new FlapDamper())],
])
