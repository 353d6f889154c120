import { initialConfiguration } from '../../../consensus/raft/configuration.ts'
import { RAFT_DEFAULTS, type RaftOptions } from '../../../consensus/raft/options.ts'
import type { ConfigChangeStep, Entry, Message } from '../../../consensus/raft/types.ts'
import { MESSAGE_TYPES } from '../../../consensus/wire.ts'
import type { Arguments } from './arguments.ts'
import type { Cluster } from './cluster.ts'
import { describeLog, describeMessage, describeRole, describeSnapshot, describeStatus } from './format.ts'
import { type Disk, Member } from './member.ts'
import type { MessageFilter } from './network.ts'
import { Transcript } from './transcript.ts'

/** Runs one command: takes what it needs from `args`, acts on the cluster, prints what happened. */
export type Command = (cluster: Cluster, args: Arguments, out: Transcript) => void

function takeMember(cluster: Cluster, args: Arguments): Member {
  const id = args.word('the node')
  return cluster.members.get(id) ?? args.fail(`there is no node ${id}`)
}

function takeRunning(cluster: Cluster, args: Arguments): Member {
  const member = takeMember(cluster, args)
  return member.running ? member : args.fail(`node ${member.id} is down`)
}

/** The nodes a command names, or all. */
function takeNodes(cluster: Cluster, args: Arguments): string[] {
  const named: string[] = []
  while (args.more) named.push(...args.list('the nodes'))
  const ids = named.length > 0 ? named : [...cluster.members.keys()]
  for (const id of ids) if (!cluster.members.has(id)) args.fail(`there is no node ${id}`)
  return ids
}

function checkTypes(types: readonly string[] | undefined, args: Arguments): readonly string[] | undefined {
  for (const type of types ?? []) {
    if (!MESSAGE_TYPES.some((known) => known === type)) args.fail(`unknown message type ${type}`)
  }
  return types
}

function takeFilter(args: Arguments): MessageFilter {
  return {
    types: checkTypes(args.listOption('type'), args),
    from: args.listOption('from'),
    to: args.listOption('to'),
  }
}

function takeRaftOptions(args: Arguments): Partial<RaftOptions> {
  const window = RAFT_DEFAULTS.window
  return {
    electionTicks: args.numberOption('election-ticks') ?? RAFT_DEFAULTS.electionTicks,
    heartbeatTicks: args.numberOption('heartbeat-ticks') ?? RAFT_DEFAULTS.heartbeatTicks,
    learnerHeartbeatTicks:
      args.numberOption('learner-heartbeat-ticks') ?? RAFT_DEFAULTS.learnerHeartbeatTicks,
    appendBytesMax: args.numberOption('append-bytes') ?? RAFT_DEFAULTS.appendBytesMax,
    window: {
      messagesMax: args.numberOption('window-messages') ?? window.messagesMax,
      bytesMax: args.numberOption('window-bytes') ?? window.bytesMax,
    },
    uncommittedBytesMax: args.numberOption('uncommitted-bytes') ?? RAFT_DEFAULTS.uncommittedBytesMax,
    applyBytesMax: args.numberOption('apply-bytes') ?? RAFT_DEFAULTS.applyBytesMax,
    leaseReads: args.flag('lease-reads'),
  }
}

/** `log=(1,1,2)`: terms of the entries on the disk of a new node, from behind its snapshot on. */
function entriesWithTerms(terms: readonly string[], after: number): Entry[] {
  return terms.map((term, i) => {
    const index = after + 1 + i
    const data = new TextEncoder().encode(`${index}@${term}`)
    return { index, term: Number(term), type: 'normal', data }
  })
}

function takeDisk(args: Arguments): Disk {
  const learners = args.listOption('learners') ?? []
  const configuration = { ...initialConfiguration(args.listOption('voters') ?? []), learners }
  const index = args.numberOption('snapshot-index') ?? 0
  const term = index > 0 ? 1 : 0
  const entries = entriesWithTerms(args.listOption('log') ?? [], index)
  return {
    hardState: {
      term: args.numberOption('term') ?? entries.at(-1)?.term ?? term,
      vote: args.option('vote') ?? '',
      commit: args.numberOption('commit') ?? index,
    },
    snapshot: { index, term, configuration },
    entries,
    logStart: { index, term },
  }
}

function addNode(cluster: Cluster, args: Arguments, id: string, disk: Disk, timeoutTicks: number): void {
  if (cluster.members.has(id)) args.fail(`node ${id} exists already`)
  const slowDisk = args.flag('slow-disk')
  cluster.members.set(id, new Member(id, disk, { raft: takeRaftOptions(args), slowDisk, timeoutTicks }))
}

/** `add-node ID …`: one node, with what is on its disk. */
const addOne: Command = (cluster, args) => {
  const id = args.word('the node')
  const timeoutTicks = args.numberOption('timeout') ?? RAFT_DEFAULTS.electionTicks
  addNode(cluster, args, id, takeDisk(args), timeoutTicks)
}

/** `add-nodes N …`: nodes 1 to N, all alike. Timeouts of 10, 12, 14 … ticks unless `timeouts=` says otherwise. */
const addMany: Command = (cluster, args) => {
  const count = args.number('the number of nodes')
  const timeouts = args.listOption('timeouts')
  const disk = takeDisk(args)
  const slowDisk = args.flag('slow-disk')
  const raft = takeRaftOptions(args)
  const { electionTicks = RAFT_DEFAULTS.electionTicks } = raft
  for (let i = 0; i < count; i++) {
    const id = String(i + 1)
    if (cluster.members.has(id)) args.fail(`node ${id} exists already`)
    const timeoutTicks = Number(timeouts?.[i] ?? electionTicks + ((2 * i) % electionTicks))
    const options = { raft, slowDisk, timeoutTicks }
    cluster.members.set(id, new Member(id, { ...disk, entries: [...disk.entries] }, options))
  }
}

const campaign: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  cluster.input(member, (raft) => raft.campaign())
  if (member.raft.role !== 'pre-candidate') out.line(`${member.id} does not campaign`)
}

/** `elect N`: campaigns and settles everything without a word but the outcome. */
const elect: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  cluster.printTo(new Transcript())
  cluster.input(member, (raft) => raft.campaign())
  cluster.stabilize([...cluster.members.keys()])
  out.line(describeRole(member.raft))
}

const tick: Command = (cluster, args) => {
  const member = takeRunning(cluster, args)
  const count = args.more ? args.number('the number of ticks') : 1
  for (let i = 0; i < count; i++) cluster.input(member, (raft) => raft.tick())
}

/** As many ticks as an election timeout of the node has; for a leader, until its next quorum check. */
const tickElection: Command = (cluster, args) => {
  const member = takeRunning(cluster, args)
  const count = member.raft.role === 'leader' ? member.electionTicks : member.timeoutTicks
  for (let i = 0; i < count; i++) cluster.input(member, (raft) => raft.tick())
}

/** `elapse K [nodes]`: K ticks pass everywhere; after each, all that happens runs to its end, quietly unless `loud`. */
const elapse: Command = (cluster, args, out) => {
  const loud = args.flag('loud')
  const count = args.number('the number of ticks')
  const ids = takeNodes(cluster, args)
  out.quietly(!loud, () => {
    for (let i = 0; i < count; i++) {
      for (const id of ids) {
        const member = cluster.members.get(id)
        if (member?.running) cluster.input(member, (raft) => raft.tick())
      }
      cluster.stabilize(ids)
    }
  })
}

/** `propose N a b … [size=BYTES]`: one call with one entry per word. */
const propose: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  const size = args.numberOption('size') ?? 0
  const payloads: Uint8Array[] = []
  while (args.more) payloads.push(new TextEncoder().encode(args.word('the data').padEnd(size, '.')))
  if (payloads.length === 0) args.fail('the data is missing')
  const result = cluster.input(member, (raft) => raft.propose(payloads))
  out.line('dropped' in result ? `dropped: ${result.dropped}` : `taken at ${result.index}@${result.term}`)
}

const proposeChange: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  const kinds = { 'add-voter': 'addVoter', 'add-learner': 'addLearner', remove: 'remove' } as const
  const steps: ConfigChangeStep[] = []
  if (!args.flag('leave')) {
    do {
      const verb = args.word('the change')
      const [, kind] =
        Object.entries(kinds).find(([name]) => name === verb) ?? args.fail(`unknown change ${verb}`)
      steps.push({ kind, node: args.word('the node of the change') })
    } while (args.more)
  }
  try {
    const result = cluster.input(member, (raft) => raft.proposeChange({ steps }))
    out.line('dropped' in result ? `dropped: ${result.dropped}` : `taken at ${result.index}@${result.term}`)
  } catch (error) {
    out.line(`refused: ${(error as Error).message}`)
  }
}

const readIndex: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  const id = args.number('the read')
  const lease = args.flag('lease')
  const asked = cluster.input(member, (raft) => raft.readIndex(id, lease))
  out.line(asked ? `read ${id} waits` : `read ${id} refused: ${member.id} does not lead`)
}

const transfer: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  const to = args.option('to') ?? args.fail('option to= is missing')
  const begun = cluster.input(member, (raft) => raft.transferLeadership(to))
  out.line(begun ? `leadership goes to ${to}` : 'refused')
}

const processReady: Command = (cluster, args) => cluster.processReady(takeRunning(cluster, args))

const persist: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  if (!cluster.completeWrite(member)) out.line(`${member.id} has nothing to write`)
}

/** `deliver N [type=] [from=] [count=] [newest-first] [drop=(senders)]` */
const deliver: Command = (cluster, args, out) => {
  const member = takeMember(cluster, args)
  const drop = args.listOption('drop')
  const count = args.numberOption('count')
  const newestFirst = args.flag('newest-first')
  const filter = { ...takeFilter(args), to: [member.id] }
  if (drop !== undefined) {
    const lost = cluster.network.take({ types: undefined, from: drop, to: [member.id] })
    for (const message of lost) out.line(`lost: ${describeMessage(message)}`)
  }
  const messages = cluster.network.take(filter, count)
  if (messages.length === 0) out.line(`nothing for ${member.id}`)
  for (const message of newestFirst ? messages.reverse() : messages) cluster.deliver(message)
}

function onNetwork(
  act: (cluster: Cluster, filter: MessageFilter) => readonly Message[],
  verb: string,
): Command {
  return (cluster, args, out) => {
    const messages = act(cluster, takeFilter(args))
    for (const message of messages) out.line(`${verb}: ${describeMessage(message)}`)
    if (messages.length === 0) out.line('no such message')
  }
}

/** `step N type from=… term=… …`: a message that comes out of nowhere, as an old or broken peer would send it. */
const step: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  const name = args.word('the message type')
  const type = MESSAGE_TYPES.find((known) => known === name) ?? args.fail(`unknown message type ${name}`)
  const index = args.numberOption('index') ?? 0
  const message: Message = {
    type,
    from: args.option('from') ?? args.fail('option from= is missing'),
    to: member.id,
    term: args.numberOption('term') ?? args.fail('option term= is missing'),
    index,
    logTerm: args.numberOption('log-term') ?? 0,
    entries: entriesWithTerms(args.listOption('entries') ?? [], index),
    commit: args.numberOption('commit') ?? 0,
    reject: args.flag('refused'),
    rejectHint: args.numberOption('look-at') ?? 0,
    context: 0,
    transfer: args.flag('transfer'),
    lease: args.flag('lease'),
    snapshot: null,
  }
  out.nested(describeMessage(message), () => cluster.input(member, (raft) => raft.step(message)))
}

const stabilize: Command = (cluster, args, out) => {
  const quiet = args.flag('quiet')
  const ids = takeNodes(cluster, args)
  out.quietly(quiet, () => cluster.stabilize(ids))
}

const status: Command = (cluster, args, out) => {
  for (const line of describeStatus(takeMember(cluster, args).raft)) out.line(line)
}

const log: Command = (cluster, args, out) => {
  for (const line of describeLog(takeMember(cluster, args).raft)) out.line(line)
}

const setTimeoutTicks: Command = (cluster, args) => {
  const member = takeMember(cluster, args)
  const ticks = args.number('the ticks')
  const { electionTicks } = member
  if (ticks < electionTicks || ticks >= 2 * electionTicks)
    args.fail(`a timeout is at least ${electionTicks} and below ${2 * electionTicks} ticks`)
  member.timeoutTicks = ticks
}

/** `compact N INDEX`: a snapshot of what is applied; entries up to INDEX are forgotten. */
const compact: Command = (cluster, args, out) => {
  const member = takeRunning(cluster, args)
  out.line(`snapshot ${describeSnapshot(member.saveSnapshot(args.number('the index')))}`)
}

/** `snapshot N`: a snapshot of what is applied; no entry is forgotten. */
const snapshot: Command = (cluster, args, out) => {
  out.line(`snapshot ${describeSnapshot(takeRunning(cluster, args).saveSnapshot(0))}`)
}

const crash: Command = (cluster, args) => cluster.crash(takeRunning(cluster, args))

const restart: Command = (cluster, args) => {
  const member = takeMember(cluster, args)
  if (member.running) args.fail(`node ${member.id} is running`)
  cluster.restart(member)
}

/** `partition (1,2) (3)`: groups that do not hear each other. */
const partition: Command = (cluster, args, out) => {
  const groups: string[][] = []
  while (args.more) groups.push(args.list('the group'))
  for (const message of cluster.network.partition(groups)) out.line(`lost: ${describeMessage(message)}`)
}

/** `cut FROM TO`: nothing arrives at TO from FROM any more. Both may be lists. */
const cut: Command = (cluster, args, out) => {
  const senders = args.list('the sender')
  const receivers = args.list('the receiver')
  for (const id of [...senders, ...receivers])
    if (!cluster.members.has(id)) args.fail(`there is no node ${id}`)
  for (const from of senders) {
    for (const to of receivers.filter((id) => id !== from))
      for (const message of cluster.network.cut(from, to)) out.line(`lost: ${describeMessage(message)}`)
  }
}

const heal: Command = (cluster) => cluster.network.heal()

const unreachable: Command = (cluster, args) => {
  const member = takeRunning(cluster, args)
  const peer = args.word('the peer')
  cluster.input(member, (raft) => raft.reportUnreachable(peer))
}

const quorumUnreachable: Command = (cluster, args) => {
  const member = takeRunning(cluster, args)
  const peers = new Set(args.list('the peers'))
  cluster.input(member, (raft) => raft.quorumUnreachable(peers))
}

const reportSnapshot: Command = (cluster, args) => {
  const member = takeRunning(cluster, args)
  const peer = args.word('the peer')
  const arrived = args.flag('arrived')
  if (!arrived && !args.flag('failed')) args.fail('say whether the snapshot arrived or failed')
  cluster.input(member, (raft) => raft.reportSnapshot(peer, arrived))
}

const leaderUnreachable: Command = (cluster, args) => {
  cluster.input(takeRunning(cluster, args), (raft) => raft.leaderUnreachable())
}

/** Every command a script may use. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['add-node', addOne],
  ['add-nodes', addMany],
  ['campaign', campaign],
  ['compact', compact],
  ['crash', crash],
  ['cut', cut],
  ['deliver', deliver],
  ['drop', onNetwork(({ network }, filter) => network.take(filter), 'lost')],
  ['duplicate', onNetwork(({ network }, filter) => network.duplicate(filter), 'twice')],
  ['elapse', elapse],
  ['elect', elect],
  ['heal', heal],
  ['hold-back', onNetwork(({ network }, filter) => network.holdBack(filter), 'held back')],
  ['leader-unreachable', leaderUnreachable],
  ['log', log],
  ['partition', partition],
  ['persist', persist],
  ['process-ready', processReady],
  ['propose', propose],
  ['propose-change', proposeChange],
  ['quorum-unreachable', quorumUnreachable],
  ['read-index', readIndex],
  ['release', onNetwork(({ network }) => network.release(), 'released')],
  ['report-snapshot', reportSnapshot],
  ['restart', restart],
  ['set-timeout', setTimeoutTicks],
  ['snapshot', snapshot],
  ['stabilize', stabilize],
  ['status', status],
  ['step', step],
  ['tick', tick],
  ['tick-election', tickElection],
  ['transfer', transfer],
  ['unreachable', unreachable],
])
