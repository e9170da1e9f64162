package reference

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWeakExternalIDs(t *testing.T) {
	for id, want := range map[string]string{
		"a": "fewer than 8", "1234567": "fewer than 8", "abcdefg": "fewer than 8", "abcdefgh": "",
		"222222222222": "account id", "012345678901": "account id", "12345678": "number", "123456789012345": "number", "1234567890123456": "",
		"aaaaaaaaaaaaaaaa": "repeats", "abababababababab": "repeats", "abcabcabcabcabca": "", "----------------": "repeats",
		"crossaccount-9b1f7a52c06d": "", "5f0c2d4e-0a51-4f0e-9a53-5c0a0c8a7d11": "",
	} {
		if got := WeakExternalID(id); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("WeakExternalID(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct {
		check func(string) error
		good  []string
		bad   []string
	}{
		{CheckRoleName, []string{"a", "Ab9_+=,.@-", long(64)}, []string{"", long(65), "a b", "a/b", "rôle", "a:b", "a\n"}},
		{CheckUserName, []string{long(64)}, []string{"", long(65), "a b"}},
		{CheckGroupName, []string{long(128)}, []string{"", long(129)}},
		{CheckPolicyName, []string{long(128), "_+=,.@-"}, []string{"", long(129), "a b", "a/b"}},
		{CheckPath, []string{"/", "/a/", "/a/b!/", "/" + long(510) + "/"}, []string{"", "a", "/a", "a/", "//", "/a b/", "/é/", "/" + long(511) + "/"}},
		{CheckExternalID, []string{"ab", "Ab9_+=,.@:/-", long(1224)}, []string{"", "a", long(1225), "a b", "a;b", "añb", "a\tb"}},
		{CheckSessionName, []string{"ab", "_+=,.@-", long(64)}, []string{"", "a", long(65), "a b", "a:b", "a/b"}},
		{CheckSourceIdentity, []string{"ab", long(64)}, []string{"", "a", long(65), "a b", "aws:a"}},
		{CheckRoleDescription, []string{"", "Café\n\tbar", long(1000)}, []string{long(1001), "smart ’quote’", "\u00a0", "日本"}},
		{CheckStackName, []string{"a", "A-1", long(128)}, []string{"", long(129), "1a", "-a", "a_b", "a b", "é"}},
		{CheckLogicalID, []string{"A1", long(255)}, []string{"", long(256), "a-b", "a_b"}},
		{CheckBucketName, []string{"abc", "a.b-c", long(63), "1.2.3"}, []string{"", "ab", long(64), "Abc", "a_b", ".abc", "abc-", "a..b", "192.168.5.4", "xn--abc", "abc-s3alias"}},
		{CheckObjectKey, []string{"a", "a/b é", long(1024)}, []string{"", long(1025), "\xff"}},
		{CheckPolicyCharacters, []string{"", "{\n\t\"Sid\": \"É\"}\r\n"}, []string{"\u0100", "“", "\x00", "😀", "\x1f"}},
		{CheckParameterValue, []string{"", long(4096)}, []string{long(4097)}},
		{CheckTemplateDescription, []string{"", long(1024)}, []string{long(1025), strings.Repeat("é", 513)}},
		{func(s string) error { return CheckTag("k", s) }, []string{"", "a b", "é_.:/=+-@", long(256)}, []string{long(257), "a,b", "a;b"}},
		{func(s string) error { return CheckTag(s, "v") }, []string{"a b", "Team", long(128)}, []string{"", long(129), "a,b", "aws:x", "AWS:x"}},
	}
	for i, test := range tests {
		for _, s := range test.good {
			if err := test.check(s); err != nil {
				t.Errorf("test %d: %.20q (%d bytes) is legal, got %v", i, s, len(s), err)
			}
		}
		for _, s := range test.bad {
			err := test.check(s)
			var limit *LimitError
			if !errors.As(err, &limit) {
				t.Errorf("test %d: %.20q (%d bytes) is illegal, got %v", i, s, len(s), err)
				continue
			}
			if limit.Field == "" || limit.Rule == "" || !strings.HasPrefix(limit.Source, "https://docs.aws.amazon.com/") {
				t.Errorf("test %d: incomplete error %+v", i, limit)
			}
			if len(s) > 5 && strings.Contains(err.Error(), s) {
				t.Errorf("test %d: the error shows the value: %v", i, err)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		check func(int) error
		limit int
	}{
		{CheckManagedPolicySize, 6144},
		{CheckRoleInlineSize, 10240},
		{CheckUserInlineSize, 2048},
		{CheckTrustPolicySize, 2048},
		{CheckSessionPolicySize, 2048},
		{CheckManagedPolicyCount, 10},
		{CheckTemplateBody, 51200},
		{CheckTemplateObject, 1000000},
		{func(n int) error { return CheckTemplateCounts(n, 0, 0, 0) }, 200},
		{func(n int) error { return CheckTemplateCounts(0, n, 0, 0) }, 200},
		{func(n int) error { return CheckTemplateCounts(0, 0, n, 0) }, 500},
		{func(n int) error { return CheckTemplateCounts(0, 0, 0, n) }, 200},
	}
	for i, test := range tests {
		if err := test.check(test.limit); err != nil {
			t.Errorf("test %d: %d is allowed, got %v", i, test.limit, err)
		}
		if err := test.check(test.limit + 1); err == nil {
			t.Errorf("test %d: %d is too many", i, test.limit+1)
		}
	}
}

func TestTags(t *testing.T) {
	many := func(n int) map[string]string {
		tags := make(map[string]string)
		for i := range n {
			tags["k"+strings.Repeat("x", i)] = "v"
		}
		return tags
	}
	for name, tags := range map[string]map[string]string{"none": nil, "one": {"a": ""}, "fifty": many(50)} {
		if err := CheckTags(tags); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tags := range map[string]map[string]string{"51": many(51), "case": {"a": "", "A": ""}, "illegal": {"a;": ""}} {
		if err := CheckTags(tags); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSessionDuration(t *testing.T) {
	tests := []struct {
		d, roleMax time.Duration
		chained    bool
		ok         bool
	}{
		{900 * time.Second, time.Hour, false, true},
		{899 * time.Second, time.Hour, false, false},
		{time.Hour, time.Hour, true, true},
		{time.Hour + time.Second, 12 * time.Hour, true, false},
		{12 * time.Hour, 12 * time.Hour, false, true},
		{12 * time.Hour, time.Hour, false, false},
		{12*time.Hour + time.Second, 24 * time.Hour, false, false},
		{time.Hour - time.Millisecond, time.Hour, false, false},
		{-time.Hour, time.Hour, false, false},
	}
	for _, test := range tests {
		if err := CheckSessionDuration(test.d, test.roleMax, test.chained); (err == nil) != test.ok {
			t.Errorf("CheckSessionDuration(%s, %s, %t) = %v, want ok %t", test.d, test.roleMax, test.chained, err, test.ok)
		}
	}
	for d, ok := range map[time.Duration]bool{time.Hour: true, 12 * time.Hour: true, time.Hour - time.Second: false, 13 * time.Hour: false} {
		if err := CheckMaxSessionDuration(d); (err == nil) != ok {
			t.Errorf("CheckMaxSessionDuration(%s) = %v, want ok %t", d, err, ok)
		}
	}
}
