// Package api is the JSON API of crossaccount: its wire types, an [http.Handler]
// that serves it and a [Client] that calls it.
//
//	handler, err := api.New(client, api.Options{Authenticate: api.OperatorToken(token)})
//	…
//	mux.Handle("/", handler)
//
// The handler describes itself in OpenAPI 3.1 at /openapi.json and /openapi.yaml.
//
// # Who may do what
//
// Every request under /v1 is made by a [Principal]: an operator, who names the
// customer a request is about, or a tenant, who is one. What a tenant does is
// confined to its own integrations; a customer id in its requests may be left
// out and must else be its own. Operators confine themselves to one customer
// with the header Crossaccount-Customer, which is what a vendor's backend should
// send with everything it does for its customers.
//
// # Answers
//
// Errors are problem details (RFC 9457) with a code, a remedy and whether trying
// again may help; see [Problem]. External IDs are in the answer to starting an
// onboarding and nowhere else.
//
// Verifying may take longer than a request should. Such requests are answered
// with 202, a Location and Retry-After; the integration shows how it went. What
// runs is known to this process only: if it ends, the integration shows a
// verification that was interrupted; ask again, and it continues with what is
// stored.
//
// A POST with an Idempotency-Key is carried out once: the same request with the
// same key gets the same answer for a day, another request with that key is
// refused with 422. With Options.Answers, as in `crossaccount serve`, that also
// holds after a crash. An onboarding is not begun twice with one key even if
// the process ended before it could answer, because the key decides the
// integration's id. Refusals are kept in memory, and 202 is not kept: repeating
// the request joins what still runs.
package api
