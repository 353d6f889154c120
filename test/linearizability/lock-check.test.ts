import t from 'tap'
import { type Claim, checkClaims, checkFencing } from './lock-check.ts'

function claim(holder: string, token: number, askedAt: number, answeredAt = askedAt + 5): Claim {
  return { holder, lock: 'l', token, askedAt, answeredAt }
}

t.test('holders that follow each other are right', async (t) => {
  t.strictSame(checkClaims([claim('a', 1, 0), claim('a', 1, 10), claim('b', 4, 20), claim('a', 9, 30)]), [])
})

t.test('an answer that overlaps the next holder is no contradiction', async (t) => {
  t.strictSame(checkClaims([claim('a', 1, 0, 100), claim('b', 4, 20)]), [])
})

t.test('a holder after a later one is wrong, also if it was recorded first', async (t) => {
  const late = claim('a', 1, 40)
  const early = claim('b', 4, 20)
  t.match(checkClaims([late, early]), [/a holds l with token 1 after b was seen with 4/])
  t.match(checkClaims([early, late]), [/a holds l with token 1 after b/])
})

t.test('a holder whose token falls is wrong', async (t) => {
  t.equal(checkClaims([claim('a', 9, 0), claim('a', 4, 20)]).length, 1)
})

t.test('one token for two holders is wrong', async (t) => {
  t.match(checkClaims([claim('a', 4, 0), claim('b', 4, 0)]), [/a and b hold l with token 4/])
})

t.test('locks are judged each on its own', async (t) => {
  t.strictSame(checkClaims([claim('a', 9, 0), { ...claim('b', 4, 20), lock: 'other' }]), [])
})

t.test('a write with an older token after a newer one is wrong', async (t) => {
  const write = (token: number, version: number) => ({ lock: 'l', token, version })
  t.strictSame(checkFencing([write(1, 5), write(1, 6), write(4, 9)]), [])
  t.match(checkFencing([write(1, 5), write(4, 6), write(1, 9)]), [/version 9 was written with token 1/])
})
