import { Registry } from 'prom-client'
import t from 'tap'
import { FrameQueue } from '../../../discovery/mesh/frame-queue.ts'
import { MeshMetrics } from '../../../discovery/mesh/metrics.ts'
import { metric } from './cluster.ts'

const frame = (size: number) => ({ bytes: new Uint8Array(size) })

t.test('a full queue refuses the newest, by number and by bytes', async (t) => {
  const registry = new Registry()
  const metrics = new MeshMetrics(registry)
  const byNumber = new FrameQueue({ framesMax: 2, bytesMax: 100 }, { metrics })
  t.same([byNumber.push(frame(1)), byNumber.push(frame(1)), byNumber.push(frame(1))], [true, true, false])
  t.equal(await metric(registry, 'constellation_mesh_queued_frames'), 2)
  const byBytes = new FrameQueue({ framesMax: 10, bytesMax: 100 }, { metrics: new MeshMetrics() })
  t.same([byBytes.push(frame(60)), byBytes.push(frame(60)), byBytes.push(frame(40))], [true, false, true])
})

t.test('an empty queue takes a frame of any size', async (t) => {
  const queue = new FrameQueue({ framesMax: 1, bytesMax: 10 }, { metrics: new MeshMetrics() })
  t.ok(queue.push(frame(1_000)))
  t.equal(queue.take(1)[0]?.bytes.length, 1_000)
})

t.test('frames leave in order, in batches, without the cancelled', async (t) => {
  const queue = new FrameQueue({ framesMax: 10_000, bytesMax: 1e9 }, { metrics: new MeshMetrics() })
  const frames = Array.from({ length: 5_000 }, (_, i) => ({
    bytes: Uint8Array.of(i & 255),
    cancelled: i % 7 === 0,
  }))
  for (const each of frames) queue.push(each)
  const taken = []
  for (let batch = queue.take(100); batch.length > 0; batch = queue.take(100)) {
    t.ok(batch.length <= 100)
    taken.push(...batch)
  }
  t.same(
    taken,
    frames.filter((each) => !each.cancelled),
  )
  t.equal(queue.size, 0)
})

t.test('clearing tells those who wait and empties the gauges', async (t) => {
  const registry = new Registry()
  const queue = new FrameQueue({ framesMax: 10, bytesMax: 100 }, { metrics: new MeshMetrics(registry) })
  const causes: unknown[] = []
  queue.push({ bytes: new Uint8Array(5), onDropped: (cause) => causes.push(cause) })
  queue.push(frame(5))
  t.equal(queue.clear('gone'), 2)
  t.same(causes, ['gone'])
  t.equal(await metric(registry, 'constellation_mesh_queued_frames'), 0)
  t.equal(await metric(registry, 'constellation_mesh_queued_bytes'), 0)
})
