package grant

import _ "embed"

//go:embed starter.yaml
var starter []byte

// Starter returns a commented manifest to begin with. It compiles.
func Starter() []byte { return append([]byte(nil), starter...) }
