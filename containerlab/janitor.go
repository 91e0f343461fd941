package containerlab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// janitor removes the folder of a lab when its input ends, that is when this process ends or says so. The nodes need
// no such help: they end by themselves.
type janitor struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

const janitorScript = `trap "" HUP INT TERM; read -r word; [ "$word" = keep ] || rm -rf -- "$1"`

func startJanitor(folder string) (*janitor, error) {
	j := &janitor{cmd: exec.Command("sh", "-c", janitorScript, "lab-janitor", folder)}
	j.cmd.Dir = "/"
	j.cmd.Stderr = os.Stderr
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if j.stdin, err = j.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	return j, nil
}

// finish removes the folder.
func (j *janitor) finish() error {
	if err := errors.Join(j.stdin.Close(), j.cmd.Wait()); err != nil {
		return fmt.Errorf("remove the lab's folder: %w", err)
	}
	return nil
}

// leave ends the janitor without removing anything.
func (j *janitor) leave() error {
	_, err := io.WriteString(j.stdin, "keep\n")
	if err := errors.Join(err, j.stdin.Close(), j.cmd.Wait()); err != nil {
		return fmt.Errorf("janitor: %w", err)
	}
	return nil
}
