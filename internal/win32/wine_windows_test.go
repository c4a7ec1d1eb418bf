package win32

import (
	"os"
	"strings"
	"testing"
)

// Wine says of itself what it is, and this process knows from its environment whether it is there.
func TestWine(t *testing.T) {
	version, host := Wine()
	if _, wine := os.LookupEnv("WINEPREFIX"); wine {
		if version == "" || !strings.Contains(host, " ") {
			t.Errorf("under Wine: version %q, host %q", version, host)
		}
	} else if version != "" || host != "" {
		t.Errorf("not under Wine: version %q, host %q", version, host)
	}
	t.Logf("%q on %q", version, host)
}
