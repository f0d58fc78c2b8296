#include "http/tls.h"

#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <climits>
#include <string_view>

#include "base/check.h"

namespace pippin::http {
namespace {

constexpr std::string_view kHttp11("\x08http/1.1");

// The first of OpenSSL's errors, as text, and forgets them all.
std::string tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

// We speak HTTP/1.1 alone; a client that offers other protocols only goes on without one.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(
      &chosen, out_size, reinterpret_cast<const unsigned char*>(kHttp11.data()),
      static_cast<unsigned>(kHttp11.size()), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

int size_of(size_t size) { return static_cast<int>(std::min<size_t>(size, INT_MAX)); }

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const std::string& certificate_path,
                                                           const std::string& key_path) {
  const auto made = std::make_shared<TlsContext>();
  made->context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made->context_.get();
  CHECK(context != nullptr, "OpenSSL is there");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  // A read takes at most one record from the socket. So whatever is not decrypted is still there to
  // be told of, and a peer that sends records without text gets one read each and not a loop of its
  // own.
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });  // asks nobody
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  const auto broken = [](const std::string& path, const char* expected) {
    return fail(Code::kInvalidFile,
                "[tls] expected " + std::string(expected) + " in " + path + ": " + tls_error(),
                path);
  };
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, certificate_path.c_str()) != 1)
    return broken(certificate_path, "a certificate chain in PEM");
  if (SSL_CTX_use_PrivateKey_file(context, key_path.c_str(), SSL_FILETYPE_PEM) != 1)
    return broken(key_path, "a private key in PEM, without a password, of that certificate");
  if (SSL_CTX_check_private_key(context) != 1)
    return broken(key_path, "the private key of the certificate");
  return std::shared_ptr<const TlsContext>(made);
}

TlsStream::TlsStream(const TlsContext& context, int socket) : ssl_(SSL_new(context.handle())) {
  CHECK(ssl_ != nullptr && SSL_set_fd(ssl_.get(), socket) == 1, "a TLS stream needs memory");
  SSL_set_accept_state(ssl_.get());
}

TlsStream::Moved TlsStream::moved(int result) const {
  Moved moved;
  if (result > 0) {
    moved.bytes = static_cast<size_t>(result);
    return moved;
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      moved.wants = Wants::kRead;
      break;
    case SSL_ERROR_WANT_WRITE:
      moved.wants = Wants::kWrite;
      break;
    case SSL_ERROR_ZERO_RETURN:
      break;
    default:
      moved.error = boost::asio::error::connection_aborted;
  }
  ERR_clear_error();
  return moved;
}

TlsStream::Moved TlsStream::read(void* bytes, size_t size) {
  ERR_clear_error();
  return moved(SSL_read(ssl_.get(), bytes, size_of(size)));
}

TlsStream::Moved TlsStream::write(const void* bytes, size_t size) {
  ERR_clear_error();
  return moved(SSL_write(ssl_.get(), bytes, size_of(size)));
}

void TlsStream::end() {
  if (!handshake_done()) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace pippin::http
