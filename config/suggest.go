package config

import "strings"

// didYouMean returns " (did you mean …?)" for the candidate closest to a misspelt word, or nothing when
// none is close enough to be more than a guess.
func didYouMean(word string, candidates []string) string {
	best, distance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if strings.EqualFold(word, c) {
			best = c
			break
		}
		if len(word) > 2*len(c)+2 { // also keeps a hostile key of a megabyte cheap
			continue
		}
		if d := editDistance(strings.ToLower(word), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// editDistance counts the insertions, deletions, substitutions and swaps of neighbours between two words
// (optimal string alignment), in bytes.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// asLabel bends a word into a DNS-1123 label (or, with dots, into a subdomain): the suggestion that goes
// with a refused name. It returns "" when nothing is left.
func asLabel(word, allowed string, longest int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(word) {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune(allowed, r):
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
		if b.Len() >= longest {
			break
		}
	}
	return strings.Trim(b.String(), "-.")
}
