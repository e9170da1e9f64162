package secretsapi

import (
	"crypto/rand"
	"math/big"
	"strings"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

// PasswordInput says what a generated password looks like. It is also
// CloudFormation's GenerateSecretString.
type PasswordInput struct {
	PasswordLength          *int
	ExcludeCharacters       string
	ExcludeLowercase        bool
	ExcludeNumbers          bool
	ExcludePunctuation      bool
	ExcludeUppercase        bool
	IncludeSpace            bool
	RequireEachIncludedType *bool
}

// PasswordOutput is a generated password.
type PasswordOutput struct{ RandomPassword string }

const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// GetRandomPassword makes a password of 32 characters unless asked otherwise.
func (s *Service) GetRandomPassword(c *authz.Call, in *PasswordInput) (*PasswordOutput, error) {
	if err := c.Authorize(authz.Query{Action: "secretsmanager:GetRandomPassword", Resource: "*"}); err != nil {
		return nil, err
	}
	password, err := s.Password(in)
	if err != nil {
		return nil, err
	}
	return &PasswordOutput{password}, nil
}

// Password makes a password.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html
func (s *Service) Password(in *PasswordInput) (string, error) {
	length := 32
	if in.PasswordLength != nil {
		length = *in.PasswordLength
	}
	if length < 1 || length > 4096 {
		return "", invalidParameter("PasswordLength must be between 1 and 4096")
	}
	var kinds []string
	for _, kind := range []struct {
		letters string
		without bool
	}{
		{"abcdefghijklmnopqrstuvwxyz", in.ExcludeLowercase},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", in.ExcludeUppercase},
		{"0123456789", in.ExcludeNumbers},
		{punctuation, in.ExcludePunctuation},
		{" ", !in.IncludeSpace},
	} {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(in.ExcludeCharacters, r) {
				return -1
			}
			return r
		}, kind.letters)
		if !kind.without && left != "" {
			kinds = append(kinds, left)
		}
	}
	each := in.RequireEachIncludedType == nil || *in.RequireEachIncludedType
	switch {
	case len(kinds) == 0:
		return "", invalidRequest("The password can't be generated: all characters are excluded.")
	case each && length < len(kinds):
		return "", invalidParameter("The password length %d is too short to include every required type.", length)
	}
	all := strings.Join(kinds, "")
	letters := make([]byte, 0, length)
	if each {
		for _, kind := range kinds {
			b, err := s.pick(kind)
			if err != nil {
				return "", err
			}
			letters = append(letters, b)
		}
	}
	for len(letters) < length {
		b, err := s.pick(all)
		if err != nil {
			return "", err
		}
		letters = append(letters, b)
	}
	for i := len(letters) - 1; i > 0; i-- { // those of each kind are at the front
		j, err := rand.Int(s.random, big.NewInt(int64(i+1)))
		if err != nil {
			return "", err
		}
		letters[i], letters[j.Int64()] = letters[j.Int64()], letters[i]
	}
	return string(letters), nil
}

func (s *Service) pick(from string) (byte, error) {
	i, err := rand.Int(s.random, big.NewInt(int64(len(from))))
	if err != nil {
		return 0, wire.AsError(err)
	}
	return from[i.Int64()], nil
}
