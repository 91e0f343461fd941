package containerlab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// holderScript is process 1 of a node. Bash reaps what is orphaned to it. It ends when its input does, that is when
// whoever made the lab ends, however that happens; told to keep, it reads on from a pipe that has no end.
const holderScript = `mount -t proc proc /proc || exit
echo ready
while read -r word; do
	if [ "$word" = keep ]; then
		exec 0<> <(:)
		echo kept
	fi
done`

const (
	readyLine = "ready"
	keptLine  = "kept"
)

// holderTimeout bounds each of a holder's answers; they take milliseconds.
const holderTimeout = 10 * time.Second

// holder is the process that a node lives by, while it is a child of this process.
type holder struct {
	cmd    *exec.Cmd
	stdin  *os.File // closing it ends the holder
	stdout *os.File
	lines  *bufio.Reader
	pidfd  int // the entrance takes it over
	waited chan struct{}
}

// startHolder makes the namespaces of a node and returns when its /proc is its own.
func startHolder(ctx context.Context, title string, errorLog *os.File) (*holder, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	defer inRead.Close()
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pipe: %w", err), inWrite.Close())
	}
	defer outWrite.Close()
	h := &holder{stdin: inWrite, stdout: outRead, lines: bufio.NewReader(outRead), pidfd: -1, waited: make(chan struct{})}
	h.cmd = exec.Command("bash", "--norc", "--noprofile", "-c", holderScript)
	h.cmd.Args[0] = title
	h.cmd.Dir = "/"
	h.cmd.Env = []string{"PATH=" + nodePath}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = inRead, outWrite, errorLog
	h.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS, // makes all mounts private too, so that nothing reaches the host
		Setsid:       true,                // out of reach of the terminal's signals
		PidFD:        &h.pidfd,
	}
	if err := h.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start holder: %w", err), inWrite.Close(), outRead.Close())
	}
	go func() {
		_ = h.cmd.Wait() // it is killed, always
		close(h.waited)
	}()
	if err := h.expect(ctx, readyLine); err != nil {
		return nil, errors.Join(err, h.end(), syscall.Close(h.pidfd))
	}
	return h, nil
}

// expect waits for the holder to say line.
func (h *holder) expect(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, holderTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = h.stdout.SetReadDeadline(time.Now()) })
	defer stop()
	got, err := h.lines.ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("holder did not get %s: %w", line, context.Cause(ctx))
	case errors.Is(err, io.EOF):
		return fmt.Errorf("holder ended before it was %s: is this process root, and may it mount?", line)
	case err != nil:
		return fmt.Errorf("holder: %w", err)
	case strings.TrimSpace(got) != line:
		return fmt.Errorf("holder said %q instead of %q", got, line)
	}
	return nil
}

// keep makes the holder outlive this process.
func (h *holder) keep(ctx context.Context) error {
	if _, err := io.WriteString(h.stdin, "keep\n"); err != nil {
		return fmt.Errorf("holder: %w", err)
	}
	if err := h.expect(ctx, keptLine); err != nil {
		return err
	}
	return h.hangUp()
}

// hangUp closes the holder's pipes, which ends it unless it was told to keep. A second call does nothing.
func (h *holder) hangUp() error {
	err := errors.Join(h.stdin.Close(), h.stdout.Close())
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// end kills the holder and waits until the node and all its processes are gone.
func (h *holder) end() error {
	errs := []error{h.hangUp()}
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, err)
	}
	select {
	case <-h.waited:
	case <-time.After(holderTimeout):
		errs = append(errs, errors.New("processes of the node do not end; is one of them not waited for?"))
	}
	return errors.Join(errs...)
}
