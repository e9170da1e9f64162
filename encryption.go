package crossaccount

import "context"

// An Encryptor seals what must not be readable in the storage.
//
// Sealing is authenticated encryption bound to its [Binding]: Open succeeds
// only with the binding that was used to seal, so a value copied into another
// record, field or customer is detected. Sealing the same value twice gives
// different bytes. Open returns an [*Error] with the code decrypt and says
// whether the key is missing or the value does not fit.
//
// BlindIndex maps a value to a fixed-length keyed hash that allows comparing
// values for equality without opening them. It is the same for ever, whatever
// keys are active, and cannot be computed without the key. The purpose
// separates indexes of different kinds of values.
//
// Implementations are safe for concurrent use. [NewAESEncryptor] is the one in
// this package.
type Encryptor interface {
	Seal(ctx context.Context, plaintext []byte, binding Binding) ([]byte, error)
	Open(ctx context.Context, sealed []byte, binding Binding) ([]byte, error)
	BlindIndex(ctx context.Context, purpose string, value []byte) ([]byte, error)
}

// A Binding names the place a sealed value belongs to.
type Binding struct {
	CustomerID    string
	IntegrationID string
	Field         string // "external_id"
}
