// AddressRule: which addresses a pull may connect to. A public server must not lead it to addresses
// of this machine or its network, by a redirect or by what its name resolves to. Internal to hub.
// Thread: any.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <string>
#include <string_view>

namespace pippin::hub {

/// Returns whether an address is reachable from everywhere: not this machine's, not of a private or
/// link-local network, no multicast. Source: IANA's registries of special-purpose addresses.
bool is_public_address(const sockaddr& address);

class AddressRule {
 public:
  /// `home`: the host that the user or the operator has named; it may have any address.
  explicit AddressRule(std::string home) : home_(std::move(home)) {}

  /// Returns whether a connection may be made for a URL of `host`. A home with a private address
  /// may lead to other private ones: a mirror in a company's network, with its storage.
  bool allows(std::string_view host, const sockaddr& address);

 private:
  const std::string home_;
  std::atomic<bool> home_is_private_{false};
};

}  // namespace pippin::hub
