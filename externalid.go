package crossaccount

// maxExternalIDPrefix leaves external IDs far below AWS's 1,224 characters.
const maxExternalIDPrefix = 64
