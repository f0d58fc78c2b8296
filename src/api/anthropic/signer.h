// Signer: signatures of thinking. What the model has thought goes to the client and comes back with
// the next turn; the signature tells whether it is what was sent, and carries it encrypted where it
// is not shown. Owner: the routes. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pippin::api::anthropic {

class Signer {
 public:
  /// `key` is the installation's secret. Empty: one that lives as long as this object.
  explicit Signer(std::string key);

  /// Returns a signature of a text that is shown beside it.
  std::string sign(std::string_view thinking) const;
  /// Returns a signature that holds the text itself, unreadable to others.
  std::string encrypt(std::string_view thinking) const;

  /// Returns the thinking that a signature vouches for: `shown`, or the text it holds where nothing
  /// is shown. Nothing, if the signature is not ours or the text was changed.
  std::optional<std::string> verify(std::string_view shown, std::string_view signature) const;

 private:
  std::string mac_key_, cipher_key_;
};

}  // namespace pippin::api::anthropic
