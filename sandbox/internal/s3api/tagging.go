package s3api

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxObjectTags = 10
	maxBucketTags = 50
)

type tag struct {
	Key   string
	Value string
}

type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	XMLNS   string   `xml:"xmlns,attr,omitempty"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

// checkTags applies S3's limits.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
func checkTags(tags map[string]string, limit int) error {
	if len(tags) > limit {
		return refuse(http.StatusBadRequest, "BadRequest", fmt.Sprintf("The tag set cannot have more than %d tags", limit))
	}
	for key, value := range tags {
		if key == "" || utf8.RuneCountInString(key) > 128 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return refuse(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid", "TagKey", key)
		}
		if utf8.RuneCountInString(value) > 256 {
			return refuse(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid", "TagKey", key, "TagValue", value)
		}
	}
	return nil
}

func tagMap(list []tag, limit int) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		if _, twice := tags[t.Key]; twice {
			return nil, refuse(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key", "TagKey", t.Key)
		}
		tags[t.Key] = t.Value
	}
	return tags, checkTags(tags, limit)
}

func tagList(tags map[string]string) tagging {
	out := tagging{XMLNS: namespace}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, tag{key, tags[key]})
	}
	return out
}

// getBucketTagging serves GetBucketTagging.
func (q *request) getBucketTagging() error {
	return q.readBucket("s3:GetBucketTagging", func(b *bucket) error {
		if len(b.tags) == 0 {
			return refuse(http.StatusNotFound, "NoSuchTagSet", "The TagSet does not exist", "BucketName", b.name)
		}
		return q.writeXML(tagList(b.tags))
	})
}

// putBucketTagging serves PutBucketTagging.
func (q *request) putBucketTagging() error {
	var in tagging
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	tags, err := tagMap(in.Tags, maxBucketTags)
	if err != nil {
		return err
	}
	return q.setTags(tags)
}

func (q *request) setTags(tags map[string]string) error {
	return q.writeBucket("s3:PutBucketTagging", http.StatusNoContent, func(b *bucket) error {
		b.tags = tags
		return nil
	})
}

// deleteBucketTagging serves DeleteBucketTagging.
func (q *request) deleteBucketTagging() error {
	return q.writeBucket("s3:PutBucketTagging", http.StatusNoContent, func(b *bucket) error {
		b.tags = nil
		return nil
	})
}

// getObjectTagging serves GetObjectTagging.
func (q *request) getObjectTagging() error {
	q.s.mu.RLock()
	defer q.s.mu.RUnlock()
	_, v, err := q.taggable("s3:GetObjectTagging", "s3:GetObjectVersionTagging", nil)
	if err != nil {
		return err
	}
	return q.writeXML(tagList(v.tags))
}

// putObjectTagging serves PutObjectTagging.
func (q *request) putObjectTagging() error {
	var in tagging
	if err := q.decodeXML(&in); err != nil {
		return err
	}
	tags, err := tagMap(in.Tags, maxObjectTags)
	if err != nil {
		return err
	}
	return q.retag("s3:PutObjectTagging", "s3:PutObjectVersionTagging", http.StatusOK, tags)
}

// deleteObjectTagging serves DeleteObjectTagging.
func (q *request) deleteObjectTagging() error {
	return q.retag("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", http.StatusNoContent, nil)
}

func (q *request) retag(action, versionAction string, status int, tags map[string]string) error {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	b, v, err := q.taggable(action, versionAction, tags)
	if err != nil {
		return err
	}
	tagged := *v
	tagged.tags = tags
	b.replace(v, &tagged)
	q.status = status
	return nil
}

// taggable finds the version whose tags the request is about.
func (q *request) taggable(action, versionAction string, tags map[string]string) (*bucket, *version, error) {
	b, err := q.bucket()
	if err != nil {
		return nil, nil, err
	}
	v, err := q.find(b, q.key, q.query.Get("versionId"), action, versionAction, requestTags(tags))
	if err == nil && b.versioning != versioningNever {
		q.w.Header().Set("X-Amz-Version-Id", v.id)
	}
	return b, v, err
}
