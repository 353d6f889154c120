/** Threads for files, the database and lookups of names together. */
const THREADS = 16

/**
 * More threads than the four Node makes. Lookups of names get at most half of them, and each holds one for as long as its name server is
 * silent: with four, two such names would hold up every other lookup of this process. Read when the first thread is needed, so
 * this comes before whatever needs one; a number that the environment names already stays.
 */
process.env.UV_THREADPOOL_SIZE ||= String(THREADS)
