import { BUSYBOX } from './docker/image.ts'
import { enterOwnNamespace, isInOwnNamespace, unavailable } from './docker/own-namespace.ts'

const reason = unavailable(['dockerd', 'containerd', 'runc', BUSYBOX])
if (reason !== null) {
  const { default: t } = await import('tap')
  t.test('one copy in the cluster, on a real Docker engine', { skip: reason }, () => {})
} else if (isInOwnNamespace()) {
  await import('./docker/run-once-scenarios.ts')
} else {
  process.exitCode = await enterOwnNamespace()
}
