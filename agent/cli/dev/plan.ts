import { CliError } from '../errors.ts'

const HTTP_PORT = 8500
const MESH_PORT = 7946
const DNS_PORT = 8600
const STEP = 10

/** One node of the development cluster and the loopback ports it gets. */
export interface NodePlan {
  readonly name: string
  readonly httpPort: number
  readonly meshPort: number
  readonly dnsPort: number
}

/** A port of a node, for messages. */
export interface PlannedPort {
  readonly port: number
  /** `HTTP of n1`. */
  readonly use: string
  readonly udp: boolean
}

/**
 * Names and ports of `count` nodes: HTTP at `httpPort`, mesh and DNS moved by the same offset from 7946 and 8600, each
 * node 10 above the one before.
 * @throws CliError `CLI_USAGE` when a port is out of range or would be used twice.
 */
export function planNodes(count: number, httpPort: number): readonly NodePlan[] {
  const offset = httpPort - HTTP_PORT
  const plans = Array.from({ length: count }, (_, i) => ({
    name: `n${i + 1}`,
    httpPort: httpPort + STEP * i,
    meshPort: MESH_PORT + offset + STEP * i,
    dnsPort: DNS_PORT + offset + STEP * i,
  }))
  const taken = new Map<number, string>()
  for (const { port, use } of plans.flatMap(portsOf)) {
    if (port < 1 || port > 65535) {
      throw new CliError('CLI_USAGE', `port ${port} (${use}) is out of range; choose another --http-port`)
    }
    const other = taken.get(port)
    if (other !== undefined) {
      throw new CliError('CLI_USAGE', `port ${port} would be ${other} and ${use}; use fewer --nodes`)
    }
    taken.set(port, use)
  }
  return plans
}

/** The ports of one node with what they are for. */
export function portsOf(plan: NodePlan): readonly PlannedPort[] {
  return [
    { port: plan.httpPort, use: `HTTP of ${plan.name}`, udp: false },
    { port: plan.meshPort, use: `mesh of ${plan.name}`, udp: false },
    { port: plan.dnsPort, use: `DNS of ${plan.name}`, udp: true },
  ]
}
