// The parts that read what servers say: manifests, listings, ranges, pauses, URLs; and hashes.
#include <gtest/gtest.h>

#include <ctime>

#include "hub/files.h"
#include "hub/hasher.h"
#include "hub/hf_hub.h"
#include "hub/http_client.h"
#include "hub/ollama_store.h"
#include "hub/range_fetch.h"

namespace pippin::hub {
namespace {

const std::string kHex(64, 'a');

TEST(Hasher, IsThatOfTheWorld) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Hasher git(HashKind::kGitSha1, 6);  // printf 'hello\n' | git hash-object --stdin
  git.update("hel", 3);
  git.update("lo\n", 3);
  EXPECT_EQ(git.finish(), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(Hasher(HashKind::kNone, 5).finish(), "");
}

TEST(Files, AFolderThatCannotBeNamedIsAnError) {
  const std::string folder = testing::TempDir() + "/" + std::string(300, '0') + "/models";
  EXPECT_FALSE(make_folders(folder).ok()) << "a name of 300 characters";
}

TEST(Manifest, ComesBackAsItWasWritten) {
  OllamaManifest manifest;
  manifest.config = {"application/vnd.docker.container.image.v1+json", kHex, 5, {}};
  manifest.layers = {{std::string(kLayerModel), std::string(64, 'b'), 1ULL << 40, "base"}};
  const auto read = parse_manifest(manifest_json(manifest));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->config.hex, kHex);
  ASSERT_NE(read->layer(kLayerModel), nullptr);
  EXPECT_EQ(read->layer(kLayerModel)->from, "base");
  EXPECT_EQ(read->bytes(), (1ULL << 40) + 5);
  EXPECT_EQ(read->layer(kLayerSystem), nullptr);
}

TEST(Manifest, WrongOnesAreRefused) {
  const std::string good = manifest_json({{"c", kHex, 1, {}}, {}});
  ASSERT_TRUE(parse_manifest(good).ok());
  EXPECT_FALSE(parse_manifest("").ok());
  EXPECT_FALSE(parse_manifest(good + "x").ok());
  for (size_t at = 0; at < good.size(); ++at)
    EXPECT_FALSE(parse_manifest(good.substr(0, at)).ok()) << at;
  std::string wrong = good;
  wrong.replace(wrong.find(kHex), 64, std::string(63, 'a') + "/");
  EXPECT_FALSE(parse_manifest(wrong).ok());
}

TEST(Listing, HashesAreTakenWhereTheyAre) {
  const std::string commit(40, '0');
  const auto repo = parse_repo(R"({"sha":")" + commit + R"(","siblings":[
      {"rfilename":"a.gguf","size":9,"blobId":")" +
                               commit + R"(","lfs":{"sha256":")" + kHex +
                               R"(","size":7}},
      {"rfilename":"b.json","size":3,"blobId":")" +
                               commit + R"("},
      {"rfilename":"c"},{"rfilename":"../d"}]})");
  ASSERT_TRUE(repo.ok()) << repo.error().message;
  ASSERT_EQ(repo->files.size(), 3U);
  EXPECT_EQ(repo->files[0].kind, HashKind::kSha256);
  EXPECT_EQ(repo->files[0].bytes, 7U);
  EXPECT_EQ(repo->files[1].kind, HashKind::kGitSha1);
  EXPECT_TRUE(repo->files[2].etag.empty());
}

HttpResponse with(const char* name, const std::string& value) {
  HttpResponse answer;
  answer.headers[name] = value;
  return answer;
}

TEST(Ranges, OnlyWhatWasAskedCounts) {
  const ByteRange asked{100, 199};
  const auto is_covered = [&](const std::string& value) {
    return covers(with("content-range", value), asked, 1000);
  };
  EXPECT_TRUE(is_covered("bytes 100-199/1000"));
  EXPECT_TRUE(is_covered("bytes 100-150/1000"));
  EXPECT_TRUE(is_covered("bytes 100-199/*"));
  for (const char* wrong :
       {"", "bytes", "bytes 100-199", "bytes 100-199/", "bytes 101-199/1000", "bytes 100-200/1000",
        "bytes 100-99/1000", "bytes 100-199/1001", "bytes -199/1000", "items 100-199/1000",
        "bytes 100-199/1000x", "bytes 99999999999999999999999-199/1000", "bytes */1000"})
    EXPECT_FALSE(is_covered(wrong)) << wrong;
}

TEST(Pauses, AreReadInEveryForm) {
  using std::chrono::seconds;
  EXPECT_EQ(pause_asked(with("retry-after", "30")), seconds(30));
  EXPECT_EQ(pause_asked(with("retry-after", "0")), seconds(0));
  EXPECT_EQ(pause_asked(with("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")), seconds(0));
  EXPECT_EQ(pause_asked(with("ratelimit", R"("api";r=0;t=37)")), seconds(37));
  for (const char* wrong : {"", "soon", "-5", "99999999999999999999999"})
    EXPECT_EQ(pause_asked(with("retry-after", wrong)), std::nullopt) << wrong;
  EXPECT_EQ(pause_asked(HttpResponse()), std::nullopt);
}

TEST(Urls, OriginsAreSchemeHostAndPort) {
  EXPECT_EQ(origin_of("https://Huggingface.co/a?b").value(), "https://huggingface.co:443");
  EXPECT_EQ(origin_of("http://127.0.0.1:80").value(), "http://127.0.0.1:80");
  EXPECT_NE(origin_of("https://a.org:444").value(), origin_of("https://a.org").value());
  for (const char* wrong : {"", "a.org", "/x", "file:///etc/passwd", "ftp://a.org", "https://",
                            "https://me:secret@a.org", "javascript:x", "https://a b.org"})
    EXPECT_FALSE(origin_of(wrong).ok()) << wrong;
}

TEST(Urls, LocationsAreSeenFromTheirPage) {
  EXPECT_EQ(resolve_url("https://a.org/x/y?z=1", "/b").value(), "https://a.org/b");
  EXPECT_EQ(resolve_url("https://a.org/x/y", "//b.org/c").value(), "https://b.org/c");
  EXPECT_EQ(resolve_url("https://a.org/x/y", "http://b.org/").value(), "http://b.org/");
  EXPECT_FALSE(resolve_url("https://a.org/", "file:///etc/passwd").ok());
  EXPECT_EQ(escape_path("a b/\xc3\xa4?#%.gguf"), "a%20b/%C3%A4%3F%23%25.gguf");
}

TEST(Urls, ThisMachineIsKnown) {
  for (const char* here : {"http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"})
    EXPECT_TRUE(is_loopback(here)) << here;
  for (const char* there : {"http://10.0.0.1", "https://localhost.example.org",
                            "http://127.0.0.1.example.org", "nonsense"})
    EXPECT_FALSE(is_loopback(there)) << there;
}

}  // namespace
}  // namespace pippin::hub
