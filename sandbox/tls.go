package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"time"
)

// tlsLife is how long the certificates of [NewTLS] are valid.
const tlsLife = 30 * 24 * time.Hour

// Protocols returns what an [http.Server] that serves a sandbox should speak: all
// that AWS does. Some clients speak HTTP/2 only, such as that of the SDK for
// JavaScript for Kinesis, and without TLS a server has to be told.
func Protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// NewTLS returns what a server needs to serve a sandbox over HTTPS on the
// loopback interface, under localhost, 127.0.0.1 and ::1. Calls that arrive over
// TLS have aws:SecureTransport true, which policies of buckets often demand.
//
// The certificate is of an authority that is made for it; authority is that
// one's own certificate in PEM, which clients must trust (AWS_CA_BUNDLE). Its key
// is forgotten, so nobody can make other certificates with it. Now is the time
// of the clients' clocks.
func NewTLS(now time.Time, random io.Reader) (config *tls.Config, authority []byte, err error) {
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "crossaccount sandbox"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(tlsLife),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, err
	}
	rootDER, err := x509.CreateCertificate(random, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, err
	}
	leafDER, err := x509.CreateCertificate(random, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		return nil, nil, err
	}
	config = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), nil
}
