// Package params has the parameters that several routes of the API share. They
// are embedded in the routes' inputs, which needs exported names, but are no
// part of the public API.
package params

// Customer names the customer where there is no body.
type Customer struct {
	CustomerID string `query:"customer_id" maxLength:"256" doc:"Operators must name the customer, except for listing all; a tenant's own id may be left out."`
}

// Integration is an integration's id in the path.
type Integration struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" maxLength:"64" doc:"The integration's id."`
}

// Page selects a part of a listing.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"100" doc:"How many records to return at most."`
	Cursor string `query:"cursor" maxLength:"2048" doc:"The next of the preceding part."`
}

// Key makes a request safe to repeat.
type Key struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes the request safe to repeat: the same request with the same key gets the same answer for a day."`
}

// Preference says how long a client likes to wait.
type Preference struct {
	Prefer string `header:"Prefer" maxLength:"100" doc:"respond-async answers at once with 202; wait=N waits at most N seconds for the result (RFC 7240)."`
}
