#include "hub/address_rule.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>
#include <string>

namespace pippin::hub {
namespace {

sockaddr_storage address_of(const std::string& text) {
  sockaddr_storage storage{};
  if (text.find(':') == std::string::npos) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, text.c_str(), &v4.sin_addr), 1) << text;
    std::memcpy(&storage, &v4, sizeof(v4));
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    EXPECT_EQ(inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
    std::memcpy(&storage, &v6, sizeof(v6));
  }
  return storage;
}

bool is_public(const std::string& text) {
  const sockaddr_storage storage = address_of(text);
  return is_public_address(*reinterpret_cast<const sockaddr*>(&storage));
}

TEST(AddressRule, KnowsWhatIsPublic) {
  for (const char* text : {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "192.167.0.1",
                           "223.255.255.255", "2606:4700::1", "64:ff9b::8.8.8.8"})
    EXPECT_TRUE(is_public(text)) << text;
  for (const char* text : {"127.0.0.1",
                           "127.255.0.1",
                           "0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.18.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::1",
                           "::",
                           "fe80::1",
                           "fd00::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::127.0.0.1",
                           "2002:7f00:0001::1"})
    EXPECT_FALSE(is_public(text)) << text;
}

bool allows(AddressRule& rule, const char* host, const char* text) {
  const sockaddr_storage storage = address_of(text);
  return rule.allows(host, *reinterpret_cast<const sockaddr*>(&storage));
}

TEST(AddressRule, APublicHomeLeadsToNoPrivateAddress) {
  AddressRule rule("hub.example");
  EXPECT_TRUE(allows(rule, "hub.example", "8.8.8.8"));
  EXPECT_TRUE(allows(rule, "storage.example", "1.1.1.1"));
  EXPECT_FALSE(allows(rule, "storage.example", "169.254.169.254"));
  EXPECT_FALSE(allows(rule, "localhost", "127.0.0.1"));
}

TEST(AddressRule, AMirrorInThisNetworkHasItsStorageThere) {
  AddressRule rule("mirror.lan");
  EXPECT_FALSE(allows(rule, "storage.lan", "10.0.0.2"));
  EXPECT_TRUE(allows(rule, "mirror.lan", "10.0.0.1"));
  EXPECT_TRUE(allows(rule, "storage.lan", "10.0.0.2"));
}

}  // namespace
}  // namespace pippin::hub
