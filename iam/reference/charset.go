package reference

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of names, in characters.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
const (
	MaxRoleName          = 64
	MaxUserName          = 64
	MaxGroupName         = 128
	MaxPolicyName        = 128
	MaxPath              = 512
	MaxRoleDescription   = 1000
	MaxPolicyDescription = 1000
	MinExternalID        = 2
	MaxExternalID        = 1224
	MinSessionName       = 2
	MaxSessionName       = 64
	MinSourceIdentity    = 2
	MaxSourceIdentity    = 64
	MaxTagKey            = 128
	MaxTagValue          = 256
	MaxStackName         = 128
	MaxLogicalID         = 255
	MinBucketName        = 3
	MaxBucketName        = 63
)

// nameRule is the rule for one kind of name.
type nameRule struct {
	field     string
	min, max  int // characters
	allowed   func(rune) bool
	allowedIn string // the characters in words
	source    string
}

func (r nameRule) check(s string) error {
	n := utf8.RuneCountInString(s)
	switch {
	case n == 0 && r.min > 0:
		return &LimitError{r.field, "is empty", r.source}
	case n < r.min:
		return &LimitError{r.field, fmt.Sprintf("has %d characters; at least %d are needed", n, r.min), r.source}
	case n > r.max:
		return &LimitError{r.field, fmt.Sprintf("has %d characters; at most %d are allowed", n, r.max), r.source}
	}
	position := 0
	for _, c := range s {
		position++
		if !r.allowed(c) {
			return &LimitError{r.field, fmt.Sprintf("has an illegal character at position %d; allowed are %s", position, r.allowedIn), r.source}
		}
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// The set \w+=,.@- that IAM uses for most names.
func isNameRune(c rune) bool { return isAlphanumeric(c) || strings.ContainsRune("_+=,.@-", c) }

const nameRunes = "letters, digits and _+=,.@-"

func isTagRune(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsNumber(c) || unicode.Is(unicode.Z, c) || strings.ContainsRune("_.:/=+-@", c)
}

const tagRunes = "letters, digits, spaces and _.:/=+-@"

func isDescriptionRune(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0x7E || c >= 0xA1 && c <= 0xFF
}

const descriptionRunes = "the printable characters of Latin-1, tab and line breaks"

var (
	roleName          = nameRule{"role name", 1, MaxRoleName, isNameRune, nameRunes, createRolePage}
	userName          = nameRule{"user name", 1, MaxUserName, isNameRune, nameRunes, quotasPage}
	groupName         = nameRule{"group name", 1, MaxGroupName, isNameRune, nameRunes, quotasPage}
	policyName        = nameRule{"policy name", 1, MaxPolicyName, isNameRune, nameRunes, quotasPage}
	roleDescription   = nameRule{"role description", 0, MaxRoleDescription, isDescriptionRune, descriptionRunes, createRolePage}
	policyDescription = nameRule{"policy description", 0, MaxPolicyDescription, isDescriptionRune, descriptionRunes, quotasPage}
	externalID        = nameRule{"external ID", MinExternalID, MaxExternalID, func(c rune) bool {
		return isNameRune(c) || c == ':' || c == '/'
	}, "letters, digits and _+=,.@:/-", assumeRolePage}
	sessionName    = nameRule{"session name", MinSessionName, MaxSessionName, isNameRune, nameRunes, assumeRolePage}
	sourceIdentity = nameRule{"source identity", MinSourceIdentity, MaxSourceIdentity, isNameRune, nameRunes, assumeRolePage}
	tagKey         = nameRule{"tag key", 1, MaxTagKey, isTagRune, tagRunes, tagPage}
	tagValue       = nameRule{"tag value", 0, MaxTagValue, isTagRune, tagRunes, tagPage}
	stackName      = nameRule{"stack name", 1, MaxStackName, func(c rune) bool {
		return isAlphanumeric(c) || c == '-'
	}, "letters, digits and -", createStackPage}
	logicalID  = nameRule{"logical id", 1, MaxLogicalID, isAlphanumeric, "letters and digits", cloudFormationPage}
	bucketName = nameRule{"bucket name", MinBucketName, MaxBucketName, func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-'
	}, "lower-case letters, digits, . and -", bucketNamesPage}
)

// CheckRoleName checks the name of a role: 1 to 64 letters, digits or _+=,.@-.
func CheckRoleName(s string) error { return roleName.check(s) }

// CheckUserName checks the name of a user: 1 to 64 letters, digits or
// _+=,.@-.
func CheckUserName(s string) error { return userName.check(s) }

// CheckGroupName checks the name of a group: 1 to 128 letters, digits or
// _+=,.@-.
func CheckGroupName(s string) error { return groupName.check(s) }

// CheckPolicyName checks the name of a managed or inline policy: 1 to 128
// letters, digits or _+=,.@-.
func CheckPolicyName(s string) error { return policyName.check(s) }

// CheckRoleDescription checks a role's description.
func CheckRoleDescription(s string) error { return roleDescription.check(s) }

// CheckPolicyDescription checks a managed policy's description.
func CheckPolicyDescription(s string) error { return policyDescription.check(s) }

// CheckPath checks the path of a role, user, group or policy: it begins and
// ends with a slash and has at most 512 characters.
func CheckPath(s string) error {
	fault := func(rule string) error { return &LimitError{"path", rule, quotasPage} }
	switch {
	case s == "":
		return fault("is empty; use / for none")
	case len(s) > MaxPath:
		return fault(fmt.Sprintf("has %d characters; at most %d are allowed", len(s), MaxPath))
	case s[0] != '/' || s[len(s)-1] != '/':
		return fault("must begin and end with /")
	case s == "//":
		return fault("must have a name between its slashes")
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7E {
			return fault(fmt.Sprintf("has an illegal character at position %d; allowed are the visible characters of ASCII", i+1))
		}
	}
	return nil
}

// CheckExternalID checks an external ID: 2 to 1,224 letters, digits or
// _+=,.@:/-. The error does not contain it.
func CheckExternalID(s string) error { return externalID.check(s) }

// MinStrongExternalID is how many characters an external ID has at least that
// nobody guesses. AWS takes 2.
const MinStrongExternalID = 8

// WeakExternalID says why an external ID could be guessed, without the ID, or
// "": it is short, the id of an account, a number as customers have it, or made
// of one or two characters. External IDs are no secrets, but whoever guesses one
// that a service uses for another customer can ask the service for that
// customer's data.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
func WeakExternalID(s string) string {
	const longNumber = 16 // digits that are hardly given in order
	different := map[rune]bool{}
	number := true
	for _, r := range s {
		different[r] = true
		number = number && '0' <= r && r <= '9'
	}
	switch {
	case number && len(s) == 12:
		return "is an account id, which is no secret between the customers of a service"
	case len(s) < MinStrongExternalID:
		return fmt.Sprintf("has fewer than %d characters", MinStrongExternalID)
	case number && len(s) < longNumber:
		return fmt.Sprintf("is a number of fewer than %d digits, as services give to their customers one after the other", longNumber)
	case len(different) < 3:
		return "repeats one or two characters"
	}
	return ""
}

// CheckSessionName checks a role session name: 2 to 64 letters, digits or
// _+=,.@-. The customer sees it in CloudTrail.
func CheckSessionName(s string) error { return sessionName.check(s) }

// CheckSourceIdentity checks a source identity: 2 to 64 letters, digits or
// _+=,.@-.
func CheckSourceIdentity(s string) error { return sourceIdentity.check(s) }

// CheckTag checks one tag of an IAM resource or a session.
func CheckTag(key, value string) error {
	if err := tagKey.check(key); err != nil {
		return err
	}
	if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
		return &LimitError{"tag key", "begins with aws:, which is reserved", tagPage}
	}
	return tagValue.check(value)
}

// CheckTags checks the tags of one role, user, policy or session: at most 50,
// each legal, and no two keys that differ only in case.
func CheckTags(tags map[string]string) error {
	if err := atMost("tags", len(tags), MaxTags, "entries", tagPage); err != nil {
		return err
	}
	seen := make(map[string]bool, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if err := CheckTag(key, tags[key]); err != nil {
			return err
		}
		folded := strings.ToLower(key)
		if seen[folded] {
			return &LimitError{"tag key", "appears twice; keys that differ only in case are the same tag", tagPage}
		}
		seen[folded] = true
	}
	return nil
}

// CheckPolicyCharacters checks that a policy document uses only the characters
// IAM accepts: tab, line feed, carriage return and U+0020 to U+00FF. Emoji,
// typographic quotes and most scripts are refused, also in a Sid.
func CheckPolicyCharacters(document string) error {
	line, column := 1, 0
	for _, c := range document {
		column++
		if c == '\n' {
			line, column = line+1, 0
			continue
		}
		if !IsPolicyCharacter(c) {
			return &LimitError{"policy document", fmt.Sprintf("has the character U+%04X at line %d, column %d; allowed are tab, line breaks and U+0020 to U+00FF", c, line, column), quotasPage}
		}
	}
	return nil
}

// IsPolicyCharacter reports whether IAM accepts a character in a policy
// document.
func IsPolicyCharacter(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xFF
}

// CheckStackName checks the name of a CloudFormation stack: 1 to 128 letters,
// digits or hyphens, a letter first.
func CheckStackName(s string) error {
	if err := stackName.check(s); err != nil {
		return err
	}
	if c := s[0]; c == '-' || c >= '0' && c <= '9' {
		return &LimitError{"stack name", "must begin with a letter", createStackPage}
	}
	return nil
}

// CheckLogicalID checks the name of a parameter, resource or output of a
// template: 1 to 255 letters and digits.
func CheckLogicalID(s string) error { return logicalID.check(s) }

// CheckBucketName checks the name of an S3 general purpose bucket.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func CheckBucketName(s string) error {
	if err := bucketName.check(s); err != nil {
		return err
	}
	fault := func(rule string) error { return &LimitError{"bucket name", rule, bucketNamesPage} }
	edge := func(c byte) bool { return c == '.' || c == '-' }
	switch {
	case edge(s[0]) || edge(s[len(s)-1]):
		return fault("must begin and end with a letter or digit")
	case strings.Contains(s, ".."):
		return fault("has two adjacent periods")
	case isIPv4(s):
		return fault("is formatted as an IP address")
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, prefix) {
			return fault("begins with " + prefix + ", which is reserved")
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, suffix) {
			return fault("ends with " + suffix + ", which is reserved")
		}
	}
	return nil
}

// isIPv4 recognises four numbers separated by periods, whatever their size.
func isIPv4(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return false
	}
	for _, p := range parts {
		if len(p) == 0 || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// CheckObjectKey checks the key of an S3 object: 1 to 1,024 bytes of UTF-8.
func CheckObjectKey(s string) error {
	switch {
	case s == "":
		return &LimitError{"object key", "is empty", objectKeysPage}
	case !utf8.ValidString(s):
		return &LimitError{"object key", "is not valid UTF-8", objectKeysPage}
	}
	return atMost("object key", len(s), MaxObjectKey, "bytes", objectKeysPage)
}
