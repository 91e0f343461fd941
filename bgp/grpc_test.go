package bgp

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/osrg/gobgp/v4/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestSocketOnlyAnswersQuestions calls every method of the service, those that a later GoBGP may add
// included, with an empty request.
func TestSocketOnlyAnswersQuestions(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gobgp.sock")
	s := start(t, func(c *Config) { c.Socket = name })
	require.NoError(t, s.Advertise(t.Context(), nil))
	conn, err := grpc.NewClient("unix://"+name, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })

	reading := map[string]bool{}
	service := api.GoBgpService_ServiceDesc
	for _, m := range service.Methods {
		err := conn.Invoke(t.Context(), "/"+service.ServiceName+"/"+m.MethodName, &emptypb.Empty{}, &emptypb.Empty{})
		reading[m.MethodName] = status.Code(err) != codes.PermissionDenied
	}
	for _, stream := range service.Streams {
		reading[stream.StreamName] = !deniedStream(t, conn, "/"+service.ServiceName+"/"+stream.StreamName)
	}
	require.Greater(t, len(reading), 50, "the whole service is there")
	for method, allowed := range reading {
		require.Equal(t, reads[method], allowed, "%s", method)
	}
	for method := range reads {
		require.Contains(t, reading, method)
	}
}

// reads are the methods that only read, as of GoBGP v4.8.0. A new one fails the test and is then judged by a person.
var reads = map[string]bool{
	"GetBgp": true, "GetTable": true, "WatchEvent": true, "ListPath": true, "ListPeer": true, "ListPeerGroup": true,
	"ListDynamicNeighbor": true, "ListVrf": true, "ListPolicy": true, "ListPolicyAssignment": true, "ListDefinedSet": true,
	"ListStatement": true, "ListRpki": true, "ListRpkiTable": true, "ListBmp": true,
}

func deniedStream(t *testing.T, conn *grpc.ClientConn, method string) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(&emptypb.Empty{}))
	if method == "/"+api.GoBgpService_ServiceDesc.ServiceName+"/WatchEvent" {
		return false // an allowed watch without events says nothing; TestGobgpCommandReads uses it
	}
	require.NoError(t, stream.CloseSend())
	return status.Code(stream.RecvMsg(&emptypb.Empty{})) == codes.PermissionDenied
}
