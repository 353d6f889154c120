import { gossipsub } from '@libp2p/gossipsub'
import type { Ed25519PrivateKey, MessageStream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Logger } from 'pino'
import { resolveHost, toMultiaddr } from './address.ts'
import type { Keyring } from './cluster-key.ts'
import { gossipsubOptions } from './gossip.ts'
import { InboundGate } from './inbound-gate.ts'
import { quietLogger } from './libp2p-logger.ts'
import type { MeshLimits } from './limits.ts'
import { MemberProtocols, type MemberProtocolsComponents } from './member-protocols.ts'
import { MembershipProof, type ProofRuns } from './proof.ts'
import type { Refusals } from './refusals.ts'
import { fewerWindowUpdates } from './window-updates.ts'

/** Settings of the libp2p host. */
export interface HostOptions {
  readonly privateKey: Ed25519PrivateKey
  readonly clusterName: string
  readonly keys: Keyring
  readonly listen: { readonly host: string; readonly port: number }
  readonly limits: MeshLimits
  /** Whether there is a place for an inbound connection of this peer. */
  readonly admit: (peer: string, connection: MessageStream) => boolean
  readonly runs: ProofRuns
}

const ENCRYPTION_TIMEOUT_MS = 1_000
// The bounds of the mesh come first and say why; those of libp2p cut without a word.
const SPARE_CONNECTIONS = 64
const UNFINISHED_MAX = 256
const UNFINISHED_PER_HOST_MAX = 64
const INBOUND_PER_SECOND_MAX = 1_000

/** The libp2p host of the mesh. */
export type MeshHost = Awaited<ReturnType<typeof createHost>>

/** Builds the libp2p host: TCP, noise with the proof of membership, yamux, gossipsub, and nothing else. Not started. */
export async function createHost(
  options: HostOptions,
  collaborators: { readonly log: Logger; readonly refusals: Refusals },
) {
  const { refusals } = collaborators
  const [ip = options.listen.host] = await resolveHost(options.listen.host)
  const connectionsMax = options.limits.connectionsMax + options.limits.onDemandMax + SPARE_CONNECTIONS
  const gate = new InboundGate({ unfinishedPerHostMax: UNFINISHED_PER_HOST_MAX }, { refusals })
  return await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    logger: quietLogger(collaborators.log),
    addresses: { listen: [toMultiaddr(ip, options.listen.port).toString()] },
    transports: [tcp({ maxConnections: connectionsMax + UNFINISHED_MAX })],
    connectionEncrypters: [
      (components) =>
        new MembershipProof(
          {
            clusterName: options.clusterName,
            keys: options.keys,
            timeoutMs: options.limits.handshakeTimeoutMs,
            admit: options.admit,
            runs: options.runs,
          },
          { components, refusals },
        ),
    ],
    streamMuxers: [fewerWindowUpdates(yamux())],
    connectionGater: gate.gater(),
    // It ends connections by its own judgement of their latency. Who is dead is for the membership to say.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: connectionsMax,
      maxIncomingPendingConnections: UNFINISHED_MAX,
      // The default of 5 per second and host refuses a cluster that starts behind one address.
      inboundConnectionThreshold: INBOUND_PER_SECOND_MAX,
      inboundUpgradeTimeout: options.limits.handshakeTimeoutMs + ENCRYPTION_TIMEOUT_MS,
      // Each dial brings a signal of its own, which ends it sooner.
      addressDialTimeout: options.limits.dialTimeoutMs + options.limits.handshakeTimeoutMs,
      reconnectRetries: 0,
    },
    services: {
      members: (components: MemberProtocolsComponents) => new MemberProtocols(components),
      gossip: gossipsub(gossipsubOptions({ bytesMax: options.limits.gossipBytesMax })),
    },
  })
}
