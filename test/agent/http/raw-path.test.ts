import fc from 'fast-check'
import t from 'tap'
import { keyText, percentDecode, routableUrl, textKey } from '../../../agent/http/raw-path.ts'

t.test('every byte string survives being escaped, whichever bytes are', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.infiniteStream(fc.boolean()), (bytes, escapeIt) => {
      const choice = escapeIt[Symbol.iterator]()
      const path = [...bytes]
        .map((byte) => {
          const plain = byte !== 0x25 && byte !== 0x3f && choice.next().value === false
          const hex = byte.toString(16).padStart(2, '0')
          return plain ? String.fromCharCode(byte) : `%${byte % 2 === 0 ? hex : hex.toUpperCase()}`
        })
        .join('')
      return percentDecode(path) === Buffer.from(bytes).toString('latin1')
    }),
  )
})

t.test('agrees with decodeURIComponent where that has an answer', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const text = Buffer.from(bytes).toString('utf8')
      return keyText(percentDecode(encodeURIComponent(text))) === text
    }),
  )
})

t.test('any text is decoded or refused with 400', async (t) => {
  let refused = 0
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('%', '2', 'f', 'F', 'g', '/', 'é', '€', '\0') }),
      (text) => {
        const malformed = /%(?![0-9a-fA-F]{2})/.test(text)
        try {
          percentDecode(text)
          return !malformed
        } catch (error) {
          refused += 1
          return malformed && (error as { statusCode?: number }).statusCode === 400
        }
      },
    ),
    { numRuns: 500 },
  )
  t.ok(refused > 0)
})

t.test('any target below /v1/kv reaches the kv routes with its query', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (key, query) => {
      const path = key.replaceAll('?', '')
      return routableUrl(`/v1/kv/${path}?${query}`) === `/v1/kv/_?${query}`
    }),
  )
})

t.test('other targets stay as they are', async (t) => {
  for (const url of ['/', '/v1/kvx', '/v1/agent/self?a=/v1/kv/x', '*', 'junk', ''])
    t.equal(routableUrl(url), url)
  t.equal(routableUrl('/v1/kv'), '/v1/kv/_')
  t.equal(routableUrl('http://host:1/v1/status/leader?x=1'), '/v1/status/leader?x=1')
  t.equal(routableUrl('http://host:1/v1/kv/a//b'), '/v1/kv/_')
  t.equal(routableUrl('http://host:1'), '/')
  t.equal(textKey('é'), '\xc3\xa9')
})
