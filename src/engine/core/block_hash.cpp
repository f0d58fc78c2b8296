#include "engine/core/block_hash.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace pippin::engine {

struct BlockHasher::State {
  // Fetching an algorithm and making a context cost more than the hash itself: both are kept.
  EVP_MD* sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  ~State() {
    EVP_MD_CTX_free(context);
    EVP_MD_free(sha256);
  }

  void begin() { CHECK(EVP_DigestInit_ex2(context, sha256, nullptr) == 1); }
  void add(const void* data, size_t bytes) {
    if (bytes != 0) CHECK(EVP_DigestUpdate(context, data, bytes) == 1);
  }
  BlockHash end() {
    BlockHash hash;
    CHECK(EVP_DigestFinal_ex(context, hash.bytes.data(), nullptr) == 1);
    return hash;
  }
};

BlockHasher::BlockHasher() : state_(std::make_unique<State>()) {
  CHECK(state_->sha256 != nullptr && state_->context != nullptr, "SHA-256 of OpenSSL");
}

BlockHasher::~BlockHasher() = default;

BlockHash BlockHasher::root(std::string_view salt) {
  state_->begin();
  state_->add(salt.data(), salt.size());
  return state_->end();
}

BlockHash BlockHasher::child(const BlockHash& parent, std::span<const Token> tokens,
                             std::string_view salt) {
  state_->begin();
  state_->add(parent.bytes.data(), parent.bytes.size());
  state_->add(tokens.data(), tokens.size_bytes());
  state_->add(salt.data(), salt.size());
  return state_->end();
}

}  // namespace pippin::engine
