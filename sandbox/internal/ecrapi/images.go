package ecrapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/crossaccount/crossaccount/sandbox/internal/authz"
	"github.com/crossaccount/crossaccount/sandbox/internal/awsjson"
	"github.com/crossaccount/crossaccount/sandbox/internal/wire"
)

type image struct {
	digest, manifest, mediaType string
	tags                        []string
}

// ImageID names an image by digest, tag or both.
type ImageID struct {
	ImageDigest string `json:"imageDigest,omitempty"`
	ImageTag    string `json:"imageTag,omitempty"`
}

// Image is an image's manifest.
type Image struct {
	RegistryID             string  `json:"registryId"`
	RepositoryName         string  `json:"repositoryName"`
	ImageID                ImageID `json:"imageId"`
	ImageManifest          string  `json:"imageManifest"`
	ImageManifestMediaType string  `json:"imageManifestMediaType,omitempty"`
}

// PutImageInput is the input of PutImage.
type PutImageInput struct {
	Named
	ImageManifest, ImageManifestMediaType, ImageTag, ImageDigest string
}

// PutImageOutput shows an image.
type PutImageOutput struct {
	Image Image `json:"image"`
}

// PutImage keeps a manifest, and moves the tag to it unless the repository's
// tags are immutable.
func (s *Service) PutImage(c *authz.Call, in *PutImageInput) (*PutImageOutput, error) {
	if err := awsjson.Required("ImageManifest", in.ImageManifest); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, in.Named, "PutImage")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(in.ImageManifest))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	switch {
	case !json.Valid([]byte(in.ImageManifest)):
		return nil, invalid("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	case in.ImageDigest != "" && in.ImageDigest != digest:
		return nil, wire.BadRequest("ImageDigestDoesNotMatchException", "The specified image digest does not match the digest of the image manifest")
	}
	i := slices.IndexFunc(r.images, func(m *image) bool { return m.digest == digest })
	if i >= 0 && (in.ImageTag == "" || slices.Contains(r.images[i].tags, in.ImageTag)) {
		return nil, wire.BadRequest("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", digest, wire.Clip(in.ImageTag), r.name, r.account)
	}
	for _, m := range r.images {
		if in.ImageTag == "" || !slices.Contains(m.tags, in.ImageTag) {
			continue
		}
		if r.immutable {
			return nil, wire.BadRequest("ImageTagAlreadyExistsException", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository is immutable.", wire.Clip(in.ImageTag), r.name)
		}
		m.tags = slices.DeleteFunc(m.tags, func(t string) bool { return t == in.ImageTag })
	}
	var m *image
	if i >= 0 {
		m = r.images[i]
	} else {
		m = &image{digest: digest, manifest: in.ImageManifest, mediaType: in.ImageManifestMediaType}
		r.images = append(r.images, m)
	}
	if in.ImageTag != "" {
		m.tags = append(m.tags, in.ImageTag)
	}
	return &PutImageOutput{r.image(m, in.ImageTag)}, nil
}

func (r *repository) image(m *image, tag string) Image {
	return Image{string(r.account), r.name, ImageID{m.digest, tag}, m.manifest, m.mediaType}
}

// BatchGetImageInput is the input of BatchGetImage.
type BatchGetImageInput struct {
	Named
	ImageIDs           []ImageID `json:"imageIds"`
	AcceptedMediaTypes []string
}

// A Failure says which image was not found.
type Failure struct {
	ImageID       ImageID `json:"imageId"`
	FailureCode   string  `json:"failureCode"`
	FailureReason string  `json:"failureReason"`
}

// BatchGetImageOutput has manifests.
type BatchGetImageOutput struct {
	Images   []Image   `json:"images"`
	Failures []Failure `json:"failures"`
}

// BatchGetImage returns manifests.
func (s *Service) BatchGetImage(c *authz.Call, in *BatchGetImageInput) (*BatchGetImageOutput, error) {
	if len(in.ImageIDs) == 0 || len(in.ImageIDs) > 100 {
		return nil, invalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and 100'")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, in.Named, "BatchGetImage")
	if err != nil {
		return nil, err
	}
	out := &BatchGetImageOutput{[]Image{}, []Failure{}}
	for _, id := range in.ImageIDs {
		i := slices.IndexFunc(r.images, func(m *image) bool {
			return (id.ImageDigest == "" || id.ImageDigest == m.digest) && (id.ImageTag == "" || slices.Contains(m.tags, id.ImageTag)) && id != (ImageID{})
		})
		if i < 0 {
			out.Failures = append(out.Failures, Failure{id, "ImageNotFound", "Requested image not found"})
			continue
		}
		out.Images = append(out.Images, r.image(r.images[i], id.ImageTag))
	}
	return out, nil
}

// BatchCheckLayerAvailabilityInput is the input of BatchCheckLayerAvailability.
type BatchCheckLayerAvailabilityInput struct {
	Named
	LayerDigests []string
}

// A Layer is one that was asked for.
type Layer struct {
	LayerDigest       string `json:"layerDigest"`
	LayerAvailability string `json:"layerAvailability"`
}

// BatchCheckLayerAvailabilityOutput has layers.
type BatchCheckLayerAvailabilityOutput struct {
	Layers   []Layer    `json:"layers"`
	Failures []struct{} `json:"failures"`
}

// BatchCheckLayerAvailability says that no layer is there.
func (s *Service) BatchCheckLayerAvailability(c *authz.Call, in *BatchCheckLayerAvailabilityInput) (*BatchCheckLayerAvailabilityOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(c, in.Named, "BatchCheckLayerAvailability"); err != nil {
		return nil, err
	}
	out := &BatchCheckLayerAvailabilityOutput{[]Layer{}, []struct{}{}}
	for _, digest := range in.LayerDigests {
		out.Layers = append(out.Layers, Layer{digest, "UNAVAILABLE"})
	}
	return out, nil
}

// LayerInput names a layer.
type LayerInput struct {
	Named
	LayerDigest string
}

// GetDownloadURLForLayer finds no layer.
func (s *Service) GetDownloadURLForLayer(c *authz.Call, in *LayerInput) (*struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(c, in.Named, "GetDownloadUrlForLayer")
	if err != nil {
		return nil, err
	}
	return nil, wire.BadRequest("LayersNotFoundException", "The layer %s does not exist in the repository with name '%s'", wire.Clip(in.LayerDigest), r.name)
}
