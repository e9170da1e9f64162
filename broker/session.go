package broker

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A session is what STS issued, as small as it can be: it is kept for every
// customer. It never changes; [Handle.current] points to the next one instead.
type session struct {
	secrets  string // account id, access key id, secret access key, session token, one after the other
	expires  int64  // AWS's time, see clock; minus the margin
	soft     int64  // until then it is handed out without a second thought
	lifetime int64  // from when it was issued until it expires
	key, end uint16 // where the access key id and where the secret access key end
}

// accountDigits is the length of an account id.
const accountDigits = 12

// credentialSource is aws.Credentials.Source of what is handed out.
const credentialSource = "crossaccount broker"

// newSession takes a session that STS issued at the time now. Both times are
// AWS's.
//
// It returns nil for a session that has expired already or makes no sense.
//
// It counts as expired a second early (less for sessions shorter than those of
// AWS), because a request needs time to arrive. The last minute belongs to the
// reader that waits for the renewal, as in AWS's other SDKs; if it fails, the
// session is used to its end.
func newSession(account, accessKeyID, secret, token string, now, expires int64) *session {
	lifetime := expires - now
	end := accountDigits + len(accessKeyID) + len(secret)
	if lifetime <= 0 || len(account) != accountDigits || end > math.MaxUint16 || accessKeyID == "" || secret == "" || token == "" {
		return nil
	}
	s := &session{
		secrets:  account + accessKeyID + secret + token,
		lifetime: lifetime,
		expires:  expires - min(int64(time.Second), lifetime/900),
		key:      uint16(accountDigits + len(accessKeyID)),
		end:      uint16(end),
	}
	s.soft = s.expires - min(int64(time.Minute), lifetime/15)
	return s
}

func (s *session) accessKeyID() string { return s.secrets[accountDigits:s.key] }

// issued is when the session began.
func (s *session) issued() int64 { return s.expires - s.lifetime }

// valid reports whether AWS accepts the session; nil is not.
func (s *session) valid(now int64) bool { return s != nil && now < s.expires }

// lasts reports whether the session is good for a reader that wants at least
// so much of it to be left. More than a quarter is not asked for: a renewal
// would hardly help.
func (s *session) lasts(now, least int64) bool {
	return s != nil && now < s.soft && now+min(least, s.lifetime/4) <= s.expires
}

// refreshAt returns when to renew the session. spread is at least 0 and below 1.
func (s *session) refreshAt(class Class, spread float64) int64 {
	left := 0.08 + 0.06*spread
	if class == HTTPRead {
		left = 0.25 + 0.10*spread
	}
	return s.expires - int64(left*float64(s.lifetime))
}

// marshal and unmarshalSession are the content of [Sealed.Data].
func (s *session) marshal() []byte {
	out := []byte{1} // the version of this format
	out = binary.BigEndian.AppendUint64(out, uint64(s.issued()))
	out = binary.BigEndian.AppendUint64(out, uint64(s.expires))
	out = binary.BigEndian.AppendUint16(out, s.key)
	out = binary.BigEndian.AppendUint16(out, s.end)
	return append(out, s.secrets...)
}

func unmarshalSession(data []byte) *session {
	const head = 1 + 8 + 8 + 2 + 2
	if len(data) < head || data[0] != 1 {
		return nil
	}
	issued := int64(binary.BigEndian.Uint64(data[1:]))
	expires := int64(binary.BigEndian.Uint64(data[9:]))
	key, end := binary.BigEndian.Uint16(data[17:]), binary.BigEndian.Uint16(data[19:])
	secrets := string(data[head:])
	if key <= accountDigits || key >= end || int(end) >= len(secrets) || expires <= issued {
		return nil
	}
	s := &session{secrets: secrets, expires: expires, lifetime: expires - issued, key: key, end: end}
	s.soft = s.expires - min(int64(time.Minute), s.lifetime/15)
	return s
}

// credentials returns the session for the SDK.
func (h *Handle) credentials(s *session) (c aws.Credentials) {
	h.fill(&c, s)
	return c
}

// fill is credentials without a copy, which the hot path would feel. Expires is
// the instant at which our own clock will show that it expired, which is the
// clock the SDK reads.
func (h *Handle) fill(c *aws.Credentials, s *session) {
	secrets, key, end := s.secrets, int(s.key), int(s.end)
	c.AccountID = secrets[:accountDigits]
	c.AccessKeyID = secrets[accountDigits:key]
	c.SecretAccessKey = secrets[key:end]
	c.SessionToken = secrets[end:]
	c.Source = credentialSource
	c.CanExpire = true
	c.Expires = h.broker.clock.local(s.expires)
}
