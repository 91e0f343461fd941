package status

import "strings"

// The colours of a terminal (ECMA-48, SGR): of what is well, of what somebody should look at, of what does not work.
const (
	green, yellow, red = "\x1b[32m", "\x1b[33m", "\x1b[31m"
	plain              = "\x1b[0m"
)

// stateColumn says of a column whether its words have a colour. What others wrote is in none of them.
func stateColumn(header string) bool {
	switch header {
	case "STATE", "KERNEL", "VERDICT", "RESULT", "BFD":
		return true
	}
	return false
}

// colourOf is that of the word that a cell begins with; none for most.
func colourOf(cell string) string {
	word, more, _ := strings.Cut(cell, " ")
	if more == "(stale)" || more == "(learning)" {
		return yellow
	}
	switch word {
	case "Established", string(Reachable), string(Ready), Installed, "Accepted", string(StepOK), "Ok", "Up":
		return green
	case string(Warning), string(Partial), string(Degraded), string(Learning), string(Starting), string(Draining), Adopted,
		"OpenSent", "OpenConfirm", "Init", "AdminDown", "Loss", "MTU", "NAT":
		return yellow
	case string(Error), string(Unreachable), Failed, Conflict, string(StepFailed), "Idle", "Connect", "Active", "Down", "OneWay", "Silent", "no":
		return red
	}
	return ""
}

// paint colours a text by a word of ours, if the page is for a terminal.
func (p *page) paint(word, text string) string {
	colour := ""
	if p.colour {
		colour = colourOf(word)
	}
	if colour == "" {
		return text
	}
	return colour + text + plain
}
