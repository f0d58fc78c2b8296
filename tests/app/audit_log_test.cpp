// AuditLog: what happens to its lines when the file cannot be written for a while.
#include "app/audit_log.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace pippin::app {
namespace {

/// A file may not become larger than this while it lives, as on a full disk.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    now.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class Audit : public testing::Test {
 protected:
  Audit() : log_(*AuditLog::open(path_, true, readiness_)) {}
  ~Audit() override { std::filesystem::remove(path_); }

  void write(std::string_view id, std::string_view body = {}) {
    http::AuditEntry entry;
    entry.request_id = id;
    entry.body = body;
    log_->write(entry);
  }
  std::vector<std::string> lines() const {
    std::ifstream file(path_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  bool degraded() const { return readiness_.state().degraded.contains("audit_log"); }

  const std::string path_ =
      (std::filesystem::temp_directory_path() / ("audit-" + std::to_string(getpid()))).string();
  service::Readiness readiness_;
  std::unique_ptr<AuditLog> log_;
};

TEST_F(Audit, WhatCannotBeWrittenIsWrittenLater) {
  write("first");
  EXPECT_FALSE(degraded());
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(path_));
  {
    const FileLimit limit(size + 10);  // the second line's beginning fits
    write("second");
    write("third");
    EXPECT_FALSE(log_->check().ok());
  }
  EXPECT_TRUE(degraded());
  EXPECT_TRUE(log_->check().ok()) << "there is room again";
  EXPECT_FALSE(degraded());
  write("fourth");
  const std::vector<std::string> found = lines();
  ASSERT_EQ(found.size(), 4u);
  const char* ids[] = {"first", "second", "third", "fourth"};
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NE(found[i].find(ids[i]), std::string::npos) << found[i];
    EXPECT_TRUE(found[i].starts_with("{\"time\"") && found[i].ends_with("}")) << found[i];
  }
}

TEST_F(Audit, WhatIsTooMuchIsCounted) {
  const std::string large(9 << 20, 'x');
  {
    const FileLimit limit(1);
    for (const char* id : {"kept", "lost", "lost, too"}) write(id, large);
    write("short", {});
  }
  write("later");
  const std::vector<std::string> found = lines();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_NE(found[0].find("kept"), std::string::npos);
  EXPECT_NE(found[1].find("\"lost_lines\":3"), std::string::npos) << found[1];
  EXPECT_NE(found[2].find("\"later\""), std::string::npos);
}

}  // namespace
}  // namespace pippin::app
