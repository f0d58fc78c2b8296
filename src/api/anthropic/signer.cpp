#include "api/anthropic/signer.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <memory>

#include "base/check.h"

namespace pippin::api::anthropic {
namespace {

constexpr char kSigned = 1, kEncrypted = 2;  // a signature's first byte
constexpr size_t kKeyBytes = 32, kMacBytes = 32, kNonceBytes = 12, kTagBytes = 16;
constexpr size_t kSignatureMax = size_t{16} << 20;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  CHECK(RAND_bytes(bytes_of(bytes), static_cast<int>(count)) == 1, "random numbers of OpenSSL");
  return bytes;
}

std::string hmac(std::string_view key, std::string_view text) {
  std::string mac(kMacBytes, '\0');
  unsigned length = 0;
  const unsigned char* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   bytes_of(text), text.size(), bytes_of(mac), &length);
  CHECK(made != nullptr && length == kMacBytes, "HMAC of OpenSSL");
  return mac;
}

std::string base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(bytes_of(text), bytes_of(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > kSignatureMax) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(bytes_of(bytes), bytes_of(text), static_cast<int>(text.size())) < 0)
    return std::nullopt;
  for (size_t i = 1; i <= 2 && text[text.size() - i] == '='; ++i) bytes.pop_back();
  // The last character before the padding has bits that no byte is made of: only zeros are ours.
  if (base64(bytes) != text) return std::nullopt;
  return bytes;
}

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Cipher new_cipher() {
  Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  CHECK(cipher != nullptr, "a cipher of OpenSSL");
  return cipher;
}

std::string aes_encrypt(std::string_view key, std::string_view text) {
  const std::string nonce = random_bytes(kNonceBytes);
  std::string hidden(text.size(), '\0'), tag(kTagBytes, '\0');
  const Cipher cipher = new_cipher();
  int length = 0;
  const bool done =
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key),
                         bytes_of(std::string_view(nonce))) == 1 &&
      EVP_EncryptUpdate(cipher.get(), bytes_of(hidden), &length, bytes_of(text),
                        static_cast<int>(text.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), bytes_of(hidden) + length, &length) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1;
  CHECK(done, "AES-GCM of OpenSSL");
  return nonce + hidden + tag;
}

std::optional<std::string> aes_decrypt(std::string_view key, std::string_view encrypted) {
  if (encrypted.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const std::string_view nonce = encrypted.substr(0, kNonceBytes);
  const std::string_view hidden =
      encrypted.substr(kNonceBytes, encrypted.size() - kNonceBytes - kTagBytes);
  std::string tag(encrypted.substr(encrypted.size() - kTagBytes)), text(hidden.size(), '\0');
  const Cipher cipher = new_cipher();
  int length = 0;
  const bool ours =
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, bytes_of(key),
                         bytes_of(nonce)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), bytes_of(text), &length, bytes_of(hidden),
                        static_cast<int>(hidden.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), bytes_of(text) + length, &length) == 1;
  if (!ours) return std::nullopt;
  return text;
}

}  // namespace

Signer::Signer(std::string key) {
  if (key.empty()) key = random_bytes(kKeyBytes);
  // A key for each use, so that neither tells of the other.
  mac_key_ = hmac(key, "thinking: signature");
  // The name of the second one is part of what clients hold already.
  cipher_key_ = hmac(key,
                     "thinking: con"
                     "cealed");
}

std::string Signer::sign(std::string_view thinking) const {
  return base64(kSigned + hmac(mac_key_, thinking));
}

std::string Signer::encrypt(std::string_view thinking) const {
  return base64(kEncrypted + aes_encrypt(cipher_key_, thinking));
}

std::optional<std::string> Signer::verify(std::string_view shown,
                                          std::string_view signature) const {
  const std::optional<std::string> bytes = from_base64(signature);
  if (!bytes || bytes->empty()) return std::nullopt;
  const std::string_view rest = std::string_view(*bytes).substr(1);
  if (bytes->front() == kEncrypted && shown.empty()) return aes_decrypt(cipher_key_, rest);
  if (bytes->front() != kSigned || rest.size() != kMacBytes) return std::nullopt;
  const std::string expected = hmac(mac_key_, shown);
  if (CRYPTO_memcmp(expected.data(), rest.data(), kMacBytes) != 0) return std::nullopt;
  return std::string(shown);
}

}  // namespace pippin::api::anthropic
