package crossaccount

import "slices"

// A State is where an integration stands.
type State string

// The states of an integration.
const (
	StatePending      State = "pending"      // the customer has a launch link; no role was presented yet
	StateVerifying    State = "verifying"    // a role was presented and is being verified, or passed and is not stored yet
	StateActive       State = "active"       // the role passed verification and is in use
	StateDegraded     State = "degraded"     // in use, but the last check failed
	StateRejected     State = "rejected"     // the presented role was refused; another may be presented
	StateExpired      State = "expired"      // never completed in time; a new launch link reopens it
	StateDisconnected State = "disconnected" // the customer removed the stack, as far as we were told
	StateRevoked      State = "revoked"      // offboarded for good
)

// legalMoves is the one table of transitions.
var legalMoves = map[State][]State{
	StatePending:      {StateVerifying, StateExpired, StateRevoked},
	StateVerifying:    {StateActive, StateRejected, StateExpired, StateRevoked},
	StateRejected:     {StateVerifying, StateExpired, StateRevoked},
	StateExpired:      {StatePending, StateRevoked},
	StateActive:       {StateDegraded, StateDisconnected, StateRevoked},
	StateDegraded:     {StateActive, StateDisconnected, StateRevoked},
	StateDisconnected: {StateActive, StateDegraded, StateRevoked},
	StateRevoked:      {},
}

// States returns all states, in the order in which an integration usually
// passes through them.
func States() []State {
	return []State{StatePending, StateVerifying, StateActive, StateDegraded, StateRejected, StateExpired, StateDisconnected, StateRevoked}
}

// Next returns the states that an integration in this state may move to.
func (s State) Next() []State { return slices.Clone(legalMoves[s]) }

// CanBecome reports whether an integration in this state may move to the other,
// or stay where it is. Every [CredentialStorage] enforces it.
func (s State) CanBecome(next State) bool {
	_, known := legalMoves[s]
	return known && (s == next || slices.Contains(legalMoves[s], next))
}

// Open reports whether the integration waits for the customer to complete it.
func (s State) Open() bool {
	return s == StatePending || s == StateVerifying || s == StateRejected || s == StateExpired
}

// Usable reports whether credentials may be obtained: the role once passed
// verification and was not given up. A degraded integration keeps working.
func (s State) Usable() bool { return s == StateActive || s == StateDegraded }
