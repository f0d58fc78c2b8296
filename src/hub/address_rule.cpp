#include "hub/address_rule.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace pippin::hub {
namespace {

struct Block {
  uint32_t network;  // in the host's byte order
  int bits;
};

constexpr Block kSpecial[] = {
    {0x00000000, 8},   // "this network"
    {0x0A000000, 8},   // private
    {0x64400000, 10},  // shared by carriers
    {0x7F000000, 8},   // loopback
    {0xA9FE0000, 16},  // link-local, clouds' metadata
    {0xAC100000, 12},  // private
    {0xC0000000, 24},  // protocol assignments
    {0xC0A80000, 16},  // private
    {0xC6120000, 15},  // benchmarks
    {0xE0000000, 3},   // multicast, reserved, broadcast
};

bool is_public_v4(uint32_t address) {
  return std::ranges::none_of(kSpecial, [address](const Block& block) {
    return (address ^ block.network) >> (32 - block.bits) == 0;
  });
}

bool is_public_v6(const std::array<uint8_t, 16>& bytes) {
  const auto v4_at = [&](size_t at) {
    return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 |
           uint32_t{bytes[at + 2]} << 8 | bytes[at + 3];
  };
  const auto starts = [&](std::initializer_list<uint8_t> prefix) {
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
  };
  if (starts({0x00, 0x64, 0xff, 0x9b})) return is_public_v4(v4_at(12));  // NAT64
  if (starts({0x20, 0x02})) return is_public_v4(v4_at(2));               // 6to4
  if (starts({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})) return is_public_v4(v4_at(12));
  return (bytes[0] & 0xE0) == 0x20;  // all else that is public lies in 2000::/3
}

}  // namespace

bool is_public_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof(v4));
    return is_public_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof(v6));
  std::array<uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return is_public_v6(bytes);
}

bool AddressRule::allows(std::string_view host, const sockaddr& address) {
  if (is_public_address(address)) return true;
  if (host == home_) home_is_private_ = true;
  return home_is_private_;
}

}  // namespace pippin::hub
