package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestALogThatNobodyReadsStopsNobody fills a pipe, and reads it later.
func TestALogThatNobodyReadsStopsNobody(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	told := make(chan uint64, logRoom)
	q := newLogQueue(write, func(lines uint64) { told <- lines })
	const lines = 10 * logRoom
	for i := range lines {
		_, err := fmt.Fprintf(q, "line %d %s\n", i, strings.Repeat("x", 100))
		require.NoError(t, err)
	}
	dropped := q.dropped.Load()
	require.Greater(t, dropped, uint64(lines/2), "it returned though the pipe is full")

	got := make(chan int)
	go func() {
		count, buffer := 0, make([]byte, 1<<16)
		for {
			n, err := read.Read(buffer)
			count += strings.Count(string(buffer[:n]), "\n")
			if err != nil {
				got <- count
				return
			}
		}
	}()
	require.Equal(t, dropped, <-told)
	q.Close()
	require.NoError(t, write.Close())
	require.Equal(t, lines-int(dropped), <-got, "everything else arrives")
}

func TestAQueueOfLogLinesEndsThoughNobodyReads(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	q := newLogQueue(write, func(uint64) {})
	for range 2 * logRoom {
		_, _ = q.Write([]byte(strings.Repeat("x", 100)))
	}
	q.Close()
	require.NoError(t, read.Close()) // lets the writer go, which then finds no end
	q.Close()
	<-q.done
	require.NoError(t, write.Close())
}
