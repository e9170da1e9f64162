package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/crossaccount/crossaccount"
)

// A Principal is who makes a request.
type Principal struct {
	// CustomerID is the tenant that the principal is, or that an operator
	// confined the request to.
	CustomerID string

	// Operator principals may act for every customer.
	Operator bool

	// Name is written into audit records: "operator", "user anna". Never a
	// secret.
	Name string
}

// An Authenticator says who makes a request. ErrNoCredentials means that the
// request does not try to say so in the way the authenticator knows. Every
// error is answered with 401 and is not shown.
type Authenticator func(*http.Request) (Principal, error)

// ErrNoCredentials is returned by an [Authenticator] for a request without the
// kind of credentials it looks for.
var ErrNoCredentials = errors.New("api: the request has no credentials")

var errWrongToken = errors.New("api: wrong operator token")

// CustomerHeader confines an operator's request to one customer: it is then
// treated like that tenant's own.
const CustomerHeader = "Crossaccount-Customer"

// OperatorToken lets those in who send the token, as "Authorization: Bearer" or
// as the password of HTTP basic authentication, which browsers ask for. They are
// operators. Only the token's hash is kept, and comparing takes the same time
// wherever tokens differ. An empty token lets nobody in.
func OperatorToken(token string) Authenticator {
	want := sha256.Sum256([]byte(token))
	return func(r *http.Request) (Principal, error) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			if _, given, ok = r.BasicAuth(); !ok {
				return Principal{}, ErrNoCredentials
			}
		}
		got := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || token == "" {
			return Principal{}, errWrongToken
		}
		return operator(r)
	}
}

// Trusting lets everybody in as operator. It is for handlers that nobody else
// can reach.
func Trusting() Authenticator { return operator }

func operator(r *http.Request) (Principal, error) {
	values := r.Header.Values(CustomerHeader)
	switch {
	case len(values) == 0:
		return Principal{Operator: true, Name: "operator"}, nil
	case len(values) > 1 || values[0] == "":
		return Principal{}, errors.New("api: " + CustomerHeader + " must have one value")
	}
	return Principal{CustomerID: values[0], Name: "operator"}, nil
}

// Tenants authenticates an embedding service's own users: resolve returns the
// customer that a request was authenticated for. It is the same function that
// [crossaccount.WithTenantResolver] takes.
func Tenants(resolve func(*http.Request) (customerID string, err error)) Authenticator {
	return func(r *http.Request) (Principal, error) {
		customerID, err := resolve(r)
		if err == nil && customerID == "" {
			err = ErrNoCredentials
		}
		return Principal{CustomerID: customerID, Name: "customer"}, err
	}
}

// FirstOf asks the authenticators in turn until one knows the request's kind of
// credentials.
func FirstOf(authenticators ...Authenticator) Authenticator {
	return func(r *http.Request) (Principal, error) {
		for _, authenticate := range authenticators {
			if p, err := authenticate(r); !errors.Is(err, ErrNoCredentials) {
				return p, err
			}
		}
		return Principal{}, ErrNoCredentials
	}
}

// customer returns the customer that a request of the principal is about.
func (p Principal) customer(named string) (string, error) {
	switch {
	case !p.Operator && p.CustomerID == "":
		return "", newProblem(CodeUnauthenticated, "you are not signed in", "")
	case p.Operator && named == "":
		return "", crossaccount.NewError(crossaccount.CodeInvalidRequest, "customer_id: must be given by operators", "name the customer the request is about", nil)
	case p.Operator:
		return named, nil
	case named != "" && named != p.CustomerID:
		return "", crossaccount.NewError(crossaccount.CodeForbidden, "customer_id: is another customer's than the one you act for", "leave it out", nil)
	}
	return p.CustomerID, nil
}
