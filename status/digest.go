package status

import (
	"sync"
	"weak"
)

// Digest remembers what was made of the chunks of a table. Tables share the chunks that did not change, and so what was made
// of them: a second look at 100,000 routes of which ten changed is a look at ten chunks. The zero Digest is ready to use, by
// any number of goroutines.
type Digest[T any] struct {
	mu     sync.Mutex // guards chunks and epoch
	chunks map[chunkKey]T
	epoch  uint64 // of the table that chunks was made of
}

// chunkKey names a chunk without keeping it, and the routes in it, alive. Chunks are never changed.
type chunkKey struct {
	first  weak.Pointer[Row]
	length int
}

// Of returns what look makes of each chunk, in the order of prefixes. What look returns is shared and must not be changed.
func (d *Digest[T]) Of(t *RouteTable, look func([]Row) T) []T {
	if t == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.epoch != d.epoch { // the chunks may be the same, but their rows tell something else
		d.chunks, d.epoch = nil, t.epoch
	}
	all, known := make([]T, 0, len(t.chunks)), make(map[chunkKey]T, len(t.chunks))
	for _, chunk := range t.chunks {
		key := chunkKey{weak.Make(&chunk[0]), len(chunk)}
		part, seen := d.chunks[key]
		if !seen {
			part = look(chunk)
		}
		known[key] = part
		all = append(all, part)
	}
	d.chunks = known // what is in no table any more is forgotten
	return all
}
