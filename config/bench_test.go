package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/underlayd/underlayd/config"
)

// BenchmarkParse reads a mesh of a thousand clusters, four ranges each.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString(minimal + "clusters:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "- {name: c%d, id: %d, podCIDRs: [20.%d.%d.0/26, 20.%[3]d.%[4]d.64/26, 20.%[3]d.%[4]d.128/26, 20.%[3]d.%[4]d.192/26]}\n", i, i+2, i/256, i%256)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.Parse(strings.NewReader(text.String()), "f.yaml", onNode()); err != nil {
			b.Fatal(err)
		}
	}
}
