import { Counter, Gauge, Registry } from 'prom-client'

/** Why a frame was dropped instead of sent. */
export type DropReason = 'queue_full' | 'unreachable' | 'too_large' | 'unhandled'
/** Why a peer was refused. `handshake`: it never came as far as the proof. */
export type RefusalReason =
  | 'wrong_key'
  | 'wrong_cluster'
  | 'version'
  | 'refused_us'
  | 'proof'
  | 'handshake'
  | 'too_many'
  | 'full'
  | 'identity_in_use'

/** The metrics of the mesh. Without a registry they are counted for nobody, which keeps callers free of conditions. */
export class MeshMetrics {
  readonly connections: Gauge
  readonly peers: Gauge
  readonly onDemand: Gauge
  readonly connectionsMax: Gauge<'kind'>
  readonly parted: Counter
  readonly surplus: Gauge
  readonly settled: Counter
  readonly queuedFrames: Gauge
  readonly queuedBytes: Gauge
  readonly frames: Counter<'direction'>
  readonly dropped: Counter<'reason'>
  readonly refused: Counter<'reason'>
  readonly dials: Counter<'result'>
  readonly requests: Counter<'result'>

  /** `streams`: how many are open, read when the metrics are. */
  constructor(registry: Registry = new Registry(), streams: () => number = () => 0) {
    const registers = [registry]
    new Gauge({
      name: 'constellation_mesh_streams',
      help: 'Open streams on all connections to members',
      registers,
      collect() {
        this.set(streams())
      },
    })
    this.connections = new Gauge({
      name: 'constellation_mesh_connections',
      help: 'Open connections to members',
      registers,
    })
    this.peers = new Gauge({
      name: 'constellation_mesh_peers',
      help: 'Members with at least one connection',
      registers,
    })
    this.onDemand = new Gauge({
      name: 'constellation_mesh_on_demand_connections',
      help: 'Open connections that are closed when they are idle',
      registers,
    })
    this.connectionsMax = new Gauge({
      name: 'constellation_mesh_connections_max',
      help: 'Bounds of the connections, by kind: kept or on_demand',
      labelNames: ['kind'],
      registers,
    })
    this.parted = new Counter({
      name: 'constellation_mesh_parted_total',
      help: 'Idle connections this node closed after the other end had agreed',
      registers,
    })
    this.surplus = new Gauge({
      name: 'constellation_mesh_surplus_connections',
      help: 'Open connections that are not used any more because there is another one with the same member',
      registers,
    })
    this.settled = new Counter({
      name: 'constellation_mesh_settled_total',
      help: 'Surplus connections this node closed after the other end had agreed which one is kept',
      registers,
    })
    this.queuedFrames = new Gauge({
      name: 'constellation_mesh_queued_frames',
      help: 'Frames waiting to be written to a stream',
      registers,
    })
    this.queuedBytes = new Gauge({
      name: 'constellation_mesh_queued_bytes',
      help: 'Bytes of the frames waiting to be written',
      registers,
    })
    this.frames = new Counter({
      name: 'constellation_mesh_frames_total',
      help: 'Frames written and read',
      labelNames: ['direction'],
      registers,
    })
    this.dropped = new Counter({
      name: 'constellation_mesh_dropped_frames_total',
      help: 'Frames dropped instead of sent, by reason',
      labelNames: ['reason'],
      registers,
    })
    this.refused = new Counter({
      name: 'constellation_mesh_refused_peers_total',
      help: 'Connections refused before they became visible, by reason',
      labelNames: ['reason'],
      registers,
    })
    this.dials = new Counter({
      name: 'constellation_mesh_dials_total',
      help: 'Connection attempts, by result',
      labelNames: ['result'],
      registers,
    })
    this.requests = new Counter({
      name: 'constellation_mesh_requests_total',
      help: 'Requests sent, by result',
      labelNames: ['result'],
      registers,
    })
  }
}
