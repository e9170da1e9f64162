package world

import _ "embed"

// Schema is the JSON schema (draft 2020-12) of world.json, for editors and other
// programs that write it. [Read] knows more rules than a schema can say.
//
//go:embed world.schema.json
var Schema []byte
