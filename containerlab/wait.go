package containerlab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// untilInterval is the time between two tries of Until.
const untilInterval = 20 * time.Millisecond

// Until calls f now and then every 20 ms until it returns nil. When ctx ends first, or f's error is Permanent, it
// returns f's last error, wrapped with what was waited for.
func Until(ctx context.Context, what string, f func(context.Context) error) error {
	ticker := time.NewTicker(untilInterval)
	defer ticker.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		var p permanentError
		if errors.As(err, &p) {
			return fmt.Errorf("waiting for %s: %w", what, p.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (%w)", what, err, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

type permanentError struct{ error }

func (p permanentError) Unwrap() error { return p.error }

// Permanent marks an error that Until shall not wait out.
func Permanent(err error) error { return permanentError{err} }
