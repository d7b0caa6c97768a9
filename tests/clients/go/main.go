// Tracks an event and reads it back, by the code that Go's plugins make of proto/ as it is.
//
//	main ADDRESS PROJECT_TOKEN KEY_ID KEY_SECRET
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"time"

	pb "footfall/tracking/v2"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func main() {
	address, token, pair := os.Args[1], os.Args[2], os.Args[3]+":"+os.Args[4]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	authorization := "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
	connection, err := grpc.DialContext(ctx, address, grpc.WithInsecure(), grpc.WithBlock())
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	tracking := pb.NewTrackingServiceClient(connection)
	path := &pb.Value{Kind: &pb.Value_StringValue{StringValue: "/pricing"}}
	event := &pb.AddEventRequest{
		ProjectToken: token,
		CustomerIds:  map[string]string{"registered": "go@example.com"},
		EventType:    "page_visit",
		Properties:   &pb.Object{Fields: map[string]*pb.Value{"path": path}},
	}
	if _, err := tracking.AddEvent(ctx, event); err != nil {
		log.Fatal(err)
	}

	customers := pb.NewCustomerServiceClient(connection)
	request := &pb.GetCustomerRequest{ProjectToken: token, CustomerIds: event.CustomerIds}
	customer, err := customers.GetCustomer(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range customer.Events {
		fmt.Println("event:", event.Type, event.Properties.Fields["path"].GetStringValue())
	}

	event.EventType = ""
	_, err = tracking.AddEvent(ctx, event)
	refused := status.Convert(err)
	fmt.Println("refused:", refused.Code(), refused.Message())
	for _, detail := range refused.Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			fmt.Println("field:", request.FieldViolations[0].Field)
		}
	}
}
