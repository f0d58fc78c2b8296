#include "hub/hasher.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace pippin::hub {

struct Hasher::Impl {
  explicit Impl(const EVP_MD* kind) {
    CHECK(context != nullptr && EVP_DigestInit_ex(context, kind, nullptr) == 1);
  }
  ~Impl() { EVP_MD_CTX_free(context); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
};

Hasher::Hasher(HashKind kind, uint64_t bytes) {
  if (kind == HashKind::kNone) return;
  impl_ = std::make_unique<Impl>(kind == HashKind::kSha256 ? EVP_sha256() : EVP_sha1());
  if (kind != HashKind::kGitSha1) return;
  const std::string head = fmt::format("blob {}", bytes);
  update(head.c_str(), head.size() + 1);  // with its NUL
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(const void* data, size_t bytes) {
  if (impl_ && bytes != 0) CHECK(EVP_DigestUpdate(impl_->context, data, bytes) == 1);
}

std::string Hasher::finish() {
  if (!impl_) return {};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  CHECK(EVP_DigestFinal_ex(impl_->context, digest, &length) == 1);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string sha256_hex(std::string_view bytes) {
  Hasher hasher(HashKind::kSha256, bytes.size());
  hasher.update(bytes.data(), bytes.size());
  return hasher.finish();
}

}  // namespace pippin::hub
